"""What requests and answers look like: the schema that /openapi.json shows."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Query = Annotated[str, Field(strict=True, examples=["registered nurse"])]


Truncated = Annotated[int, Field(description="Texts of more tokens than `model.tokens`, whose end is not read.")]


Filter = Annotated[
    dict[str, list[Annotated[str, Field(strict=True)]]],
    Field(
        description="Values by further column: only targets with one of the values, in every column, are ranked.",
        examples=[{"family": ["logistics", "food"]}],
    ),
]


class Request(BaseModel):
    """Keys that there are not are refused: a typo would go unnoticed."""

    model_config = ConfigDict(extra="forbid")


class RankRequest(Request):
    """Queries, and where to look for their best targets."""

    queries: Annotated[list[Query], Field(strict=True, description="Job titles, skills or sentences; each is ranked.")]
    space: Annotated[str, Field(strict=True, description="Name of a target space; empty: the first one.")] = ""
    top_k: Annotated[int, Field(strict=True, description="Targets of a query.")] = 10
    where: Filter = {}


class HitAnswer(BaseModel):
    """A target that was found."""

    id: str
    text: str
    score: float
    columns: Annotated[dict[str, str], Field(description="Its values of further columns.")]


class QueryAnswer(BaseModel):
    """The best targets of a query, best first."""

    query: str
    hits: list[HitAnswer]


class RankAnswer(BaseModel):
    """One result a query, in their order."""

    space: str
    results: list[QueryAnswer]
    truncated: Truncated


class VacancyRequest(Request):
    """A vacancy, plain or HTML."""

    text: Annotated[str, Field(strict=True, examples=["You plan shifts.\n- care for patients\n- keep records"])]
    space: Annotated[str, Field(strict=True, description="Name of a target space; empty: the first one.")] = ""
    top_k: Annotated[int, Field(strict=True, description="Targets in all.")] = 10
    where: Filter = {}


class FoundAnswer(HitAnswer):
    """A target of a vacancy: the sentence that supports it best, and how many do."""

    sentence: Annotated[int, Field(description="Position in sentences, from 0.")]
    support: Annotated[int, Field(description="Sentences among whose best it is.")]


class VacancyAnswer(BaseModel):
    """The sentences that were ranked, and the best targets of all of them."""

    space: str
    sentences: list[str]
    omitted: Annotated[int, Field(description="Further sentences, which were too many, too long, or cannot be scored.")]
    truncated: Truncated
    hits: list[FoundAnswer]


class ScoresRequest(Request):
    """Queries, and targets to score them with."""

    queries: Annotated[list[Query], Field(strict=True)]
    targets: Annotated[list[Annotated[str, Field(strict=True, examples=["care for patients"])]], Field(strict=True)]


class ScoresAnswer(BaseModel):
    """A row of scores a query, a column a target."""

    scores: list[list[float]]
    truncated: Truncated


class ExplainRequest(Request):
    """A query and a target."""

    query: Query
    target: Annotated[str, Field(strict=True, examples=["care for patients"])]


class ExplainAnswer(BaseModel):
    """The score as a sum over tokens: sum_i shares[i] sum_j weights[i][j] cosines[i][j].

    `contributions` are what each query token adds.
    """

    query_tokens: list[str]
    target_tokens: list[str]
    shares: list[float]
    weights: list[list[float]]
    cosines: list[list[float]]
    contributions: list[float]
    score: float
    scorer: str
    truncated: Truncated


class SpaceAnswer(BaseModel):
    """A target space."""

    name: str
    targets: int
    columns: Annotated[list[str], Field(description="Further columns, which hits have and `where` filters by.")]


class ModelAnswer(BaseModel):
    """The model that ranks."""

    name: str
    scorer: str
    fingerprint: str
    tokens: Annotated[int, Field(description="Of a text; longer ones are truncated.")]


class LimitsAnswer(BaseModel):
    """What one request may ask for."""

    body_bytes: int
    queries: int
    characters: int
    vacancy_characters: int
    top_k: int


class SpacesAnswer(BaseModel):
    """What is served."""

    model: ModelAnswer
    spaces: list[SpaceAnswer]
    limits: LimitsAnswer


class State(BaseModel):
    """How the service is."""

    status: str


class Problem(BaseModel):
    """Why a request was not answered; the id stands in the service's log."""

    detail: str
    id: str
