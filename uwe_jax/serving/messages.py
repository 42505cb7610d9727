"""Schema of requests and answers, shown at /openapi.json."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from uwe_jax.runtime.settings import did_you_mean
from uwe_jax.serving.refusals import Refusal
from uwe_jax.sources.tables.problems import shorten

Query = Annotated[str, Field(strict=True, examples=["registered nurse"])]
Target = Annotated[str, Field(strict=True, examples=["care for patients"])]
Truncated = Annotated[int, Field(description="Number of texts with more tokens than `model.tokens`; they are cut.")]
Values = Annotated[
    list[Annotated[str, Field(strict=True)]],
    BeforeValidator(lambda given: [given] if isinstance(given, str) else given),
]
Filter = Annotated[
    dict[str, Values],
    Field(
        description="One value or more by further column: only targets that have one, in every column, are ranked.",
        examples=[{"family": ["logistics", "food"]}],
    ),
]


class Request(BaseModel):
    """A request; unknown keys are refused, since a typo would go unnoticed."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _known(cls, given: Any) -> Any:
        known = cls.model_fields
        for key in given if isinstance(given, dict) else ():
            if key not in known and not (key == "space" and "index" in known):
                near = did_you_mean(key[:80], known) or f" The keys are {', '.join(known)}."
                raise Refusal(422, f"Unknown key {shorten(key)}.{near}")
        return given


class SearchRequest(Request):
    """Options of a search in an index."""

    index: Annotated[
        str,
        Field(
            strict=True,
            description="Name of an index; empty: the first one.",
            validation_alias=AliasChoices("index", "space"),  # the latter until the next release
        ),
    ] = ""
    top_k: Annotated[int, Field(strict=True, description="Number of targets, best first.")] = 10
    where: Filter = {}
    min_score: Annotated[float | None, Field(strict=True, allow_inf_nan=False, description="Least score of a hit.")] = (
        None
    )
    min_probability: Annotated[
        float | None, Field(strict=True, ge=0, le=1, description="Least probability of a hit, of a calibrated index.")
    ] = None


class RankRequest(SearchRequest):
    """Queries, each of which is ranked."""

    queries: Annotated[list[Query], Field(strict=True, description="Job titles, skills or sentences; each is ranked.")]


class HitAnswer(BaseModel):
    """A target that was found."""

    id: str
    text: str
    score: float
    columns: Annotated[dict[str, str], Field(description="Its values of further columns.")]
    name: Annotated[str, Field(description="The name that matched best; empty where it is the text.")]
    exact: Annotated[bool, Field(description="Whether the query equals that name up to case, hyphens and plural s.")]
    role: Annotated[str, Field(description="Of that name: empty for the text, or alternative, or description.")]
    words: Annotated[float, Field(description="The part of the score that words in common add.")]
    probability: Annotated[
        float | None, Field(description="That the target is right; null where the index is not calibrated.")
    ] = None


Of = Annotated[int, Field(description="Number of targets that were ranked, of which the hits are the best.")]
Note = Annotated[str, Field(description="What the scores mean, where hits have no probabilities; else empty.")]
Absent = Annotated[str, Field(description="Where no hit reaches the thresholds: how near the best came; else empty.")]


class QueryAnswer(BaseModel):
    """The best targets of a query, best first."""

    query: str
    hits: list[HitAnswer]
    of: Of
    none: Absent = ""


class RankAnswer(BaseModel):
    """One result per query, in their order."""

    index: str
    results: list[QueryAnswer]
    note: Note
    truncated: Truncated


class VacancyRequest(SearchRequest):
    """A vacancy, plain or HTML."""

    text: Annotated[str, Field(strict=True, examples=["You plan shifts.\n- care for patients\n- keep records"])]


class FoundAnswer(HitAnswer):
    """A target of a vacancy, with the sentence that supports it best and the number of sentences that found it."""

    sentence: Annotated[int, Field(description="Position in sentences, from 0.")]
    support: Annotated[int, Field(description="Number of sentences that have it among their hits.")]


class VacancyAnswer(BaseModel):
    """The sentences that were ranked, and the best targets of all of them."""

    index: str
    sentences: list[str]
    omitted: Annotated[int, Field(description="Further sentences: too many, too long, or not scorable.")]
    no_requirement: Annotated[
        int, Field(description="Sentences without hits, as the service's filter takes them for no requirement.")
    ] = 0
    truncated: Truncated
    hits: list[FoundAnswer]
    of: Of
    note: Note
    none: Absent = ""


class ScoresRequest(Request):
    """Queries, and targets to score them with."""

    queries: Annotated[list[Query], Field(strict=True)]
    targets: Annotated[list[Target], Field(strict=True)]


class ScoresAnswer(BaseModel):
    """A row of scores per query, a column per target."""

    scores: list[list[float]]
    truncated: Truncated


class ExplainRequest(Request):
    """A query, and a text as its target or the id of a target of an index."""

    query: Query
    target: Target = ""
    id: Annotated[
        str, Field(strict=True, description="Of a target, whose best name is explained, instead of a text.")
    ] = ""
    index: Annotated[
        str,
        Field(strict=True, description="Name of the index with that id, and whose words count; empty: the first one."),
    ] = ""


class ExplainAnswer(BaseModel):
    """The score as a sum over tokens: sum_i shares[i] sum_j weights[i][j] cosines[i][j], and over `words` in common.

    `contributions` holds the summand of each query token.
    """

    query_tokens: list[str]
    target_tokens: list[str]
    shares: list[float]
    weights: list[list[float]]
    cosines: list[list[float]]
    contributions: list[float]
    words: Annotated[dict[str, float], Field(description="What each word in common adds.")]
    score: float
    scorer: str
    hit: Annotated[
        HitAnswer | None,
        Field(description="With id: the target, the name that is explained, and the target's score and probability."),
    ] = None
    rank: Annotated[
        int, Field(description="With id: place of the target among the hits, from 1; 0: none of the first 100.")
    ] = 0
    of: Annotated[int, Field(description="With id: number of targets that were ranked; else 0.")] = 0
    note: Note
    truncated: Truncated


class IndexAnswer(BaseModel):
    """An index."""

    name: str
    targets: int
    calibration: Annotated[
        str, Field(description="What its probabilities were fitted for and to; empty where it has none.")
    ]
    columns: Annotated[list[str], Field(description="Further columns, which hits have and `where` filters by.")]


class ModelAnswer(BaseModel):
    """The model that ranks."""

    name: str
    scorer: str
    fingerprint: str
    tokens: Annotated[int, Field(description="Of a text; longer ones are truncated.")]


class LimitsAnswer(BaseModel):
    """Limits of a request."""

    body_bytes: int
    queries: int
    characters: int
    vacancy_characters: int
    top_k: int


class IndexesAnswer(BaseModel):
    """The model, the indexes and the limits of a service."""

    model: ModelAnswer
    indexes: list[IndexAnswer]
    limits: LimitsAnswer


class State(BaseModel):
    """State of the service."""

    status: str


class Problem(BaseModel):
    """The reason why a request was not answered; the id is in the service's log."""

    detail: str
    id: str
