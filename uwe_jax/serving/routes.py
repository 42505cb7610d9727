"""What a service answers, path by path."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse

from uwe_jax.retrieval.store.columns import FilterError, alternatives
from uwe_jax.retrieval.store.searchable import Hit
from uwe_jax.runtime.errors import UserError
from uwe_jax.scoring.scorer_text import scorer_text
from uwe_jax.serving.batching import Batcher
from uwe_jax.serving.gate import DEADLINE
from uwe_jax.serving.messages import (
    ExplainAnswer,
    ExplainRequest,
    LimitsAnswer,
    Problem,
    RankAnswer,
    RankRequest,
    ScoresAnswer,
    ScoresRequest,
    SpacesAnswer,
    State,
    VacancyAnswer,
    VacancyRequest,
)
from uwe_jax.serving.metrics import Metrics
from uwe_jax.serving.options import Limits
from uwe_jax.serving.refusals import Refusal
from uwe_jax.serving.response import Json
from uwe_jax.serving.tasks import ExplainTask, RankTask, ScoresTask, ServedModel
from uwe_jax.serving.vacancy import gather, vacancy_sentences

_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The body is no JSON, or its length is given twice."},
    401: {"model": Problem, "description": "A key is needed."},
    413: {"model": Problem, "description": "The body is too large."},
    415: {"model": Problem, "description": "The body is not application/json."},
    422: {"model": Problem, "description": "Something in the request does not fit."},
    429: {"model": Problem, "description": "The client asks too often."},
    503: {"model": Problem, "description": "Busy, not ready yet, or stopping: try again after Retry-After seconds."},
    504: {"model": Problem, "description": "The answer would take longer than a request may."},
}
api = APIRouter(prefix="/v1", tags=["Ranking"], responses=_REFUSALS)
watch = APIRouter(tags=["Watching"])


@dataclass(frozen=True)
class Service:
    """What the routes share, as `app.state.service`."""

    batcher: Batcher
    limits: Limits
    metrics: Metrics

    @property
    def model(self) -> ServedModel:
        """The model.

        Raises:
          Refusal: 503 while it is loading.
        """
        if not isinstance(self.batcher.model, ServedModel):
            raise Refusal(503, "The model is still loading.", retry_after=5)
        return self.batcher.model

    def space(self, name: str) -> str:
        """The name of a space that is there; the first one for an empty name."""
        spaces = self.model.spaces
        if name and name not in spaces:
            raise Refusal(422, f"There is no space of that name; there are {', '.join(spaces)}.")
        return name or next(iter(spaces))

    def top_k(self, top_k: int) -> int:
        """It, within bounds."""
        if not 1 <= top_k <= self.limits.top_k:
            raise Refusal(422, f"top_k is {top_k}; it must be 1 to {self.limits.top_k}.")
        return top_k

    def texts(self, texts: Sequence[str], what: str) -> tuple[str, ...]:
        """Texts as a model takes them, within bounds.

        Args:
          texts: as they came.
          what: one of them, for an error.
        """
        _ = self.model  # loaded, and jax with it: imported here while it is loaded, it would be broken for both threads
        from uwe_jax.retrieval.limits import accepted

        if not 1 <= len(texts) <= self.limits.queries:
            raise Refusal(422, f"There are {len(texts):,} of {what.lower()}; expected 1 to {self.limits.queries}.")
        for position, text in enumerate(texts, 1):
            if len(text) > self.limits.characters:
                most = self.limits.characters
                raise Refusal(422, f"{what} {position} has {len(text):,} characters; at most {most:,} are taken.")
        try:
            return tuple(accepted(texts, what))
        except UserError as error:
            raise Refusal(422, str(error)) from error


def _service(request: Request) -> Service:
    return request.app.state.service


@api.post("/rank", response_model=RankAnswer, summary="Rank targets for queries")
async def rank(request: Request, asked: RankRequest) -> Json:
    """The best targets of a space for every query."""
    service = _service(request)
    space, top_k, where = service.space(asked.space), service.top_k(asked.top_k), _allowed(asked.where)
    task = RankTask(service.texts(asked.queries, "Query"), space, top_k, where)
    found, truncated = await service.batcher.ask(task, request.scope[DEADLINE])
    _check_scored(found)
    results = [
        {"query": query, "hits": [hit.to_dict() for hit in hits]}
        for query, hits in zip(asked.queries, found, strict=True)
    ]
    return Json({"space": task.space, "results": results, "truncated": truncated})


@api.post("/vacancy", response_model=VacancyAnswer, summary="Find what a vacancy asks for")
async def vacancy(request: Request, asked: VacancyRequest) -> Json:
    """Cuts a vacancy into sentences, ranks targets for each, and gathers the best of all.

    Sentences beyond the `queries` or `characters` that are allowed, and those that the model cannot score, are omitted
    and counted.
    """
    service = _service(request)
    space, top_k, where = service.space(asked.space), service.top_k(asked.top_k), _allowed(asked.where)
    limits = service.limits
    if len(asked.text) > limits.vacancy_characters:
        most = f"at most {limits.vacancy_characters:,} are taken"
        raise Refusal(422, f"The vacancy has {len(asked.text):,} characters; {most}.")
    found = await asyncio.to_thread(vacancy_sentences, asked.text)
    sentences = [each for each in found if len(each) <= limits.characters][: limits.queries]
    if not sentences:
        raise Refusal(
            422,
            f"The vacancy has no sentence of at most {limits.characters:,} characters. Send text with line breaks or "
            "full stops.",
        )
    task = RankTask(service.texts(sentences, "Sentence"), space, top_k, where)
    answers, truncated = await service.batcher.ask(task, request.scope[DEADLINE])
    ranked = [each for each in zip(sentences, answers, strict=True) if not isinstance(each[1], UserError)]
    hits = [
        {**each.hit.to_dict(), "sentence": each.sentence, "support": each.support}
        for each in gather([hits for _, hits in ranked], top_k)
    ]
    read, counts = [sentence for sentence, _ in ranked], {"omitted": len(found) - len(ranked), "truncated": truncated}
    return Json({"space": space, "sentences": read, **counts, "hits": hits})


@api.post("/scores", response_model=ScoresAnswer, summary="Score pairs")
async def scores(request: Request, asked: ScoresRequest) -> Json:
    """The score of every query with every target; the targets need not be in any space."""
    service = _service(request)
    task = ScoresTask(service.texts(asked.queries, "Query"), service.texts(asked.targets, "Target"))
    found, truncated = await service.batcher.ask(task, request.scope[DEADLINE])
    return Json({"scores": found, "truncated": truncated})


@api.post("/explain", response_model=ExplainAnswer, summary="Explain a score")
async def explain(request: Request, asked: ExplainRequest) -> Json:
    """Which token of the query attended to which token of the target, with what weight and cosine."""
    service = _service(request)
    task = ExplainTask(service.texts([asked.query], "Query")[0], service.texts([asked.target], "Target")[0])
    found, truncated = await service.batcher.ask(task, request.scope[DEADLINE])
    return Json({**found, "truncated": truncated})


@api.get("/spaces", response_model=SpacesAnswer, summary="What is served")
async def spaces(request: Request) -> Json:
    """The model, the target spaces and the limits of a request."""
    service = _service(request)
    model, limits = service.model, service.limits
    origin = model.ranker.origin
    return Json(
        {
            "model": {
                "name": model.ranker.name,
                "scorer": scorer_text(origin.scorer),
                "fingerprint": origin.fingerprint,
                "tokens": origin.max_tokens,
            },
            "spaces": [
                {"name": name, "targets": len(space), "columns": list(space.columns)}
                for name, space in model.spaces.items()
            ],
            "limits": {name: getattr(limits, name) for name in LimitsAnswer.model_fields},
        }
    )


@watch.head("/healthz", include_in_schema=False)
@watch.get("/healthz", response_model=State, summary="Whether the process works")
async def healthz(request: Request) -> Json:
    """200 unless the thread of the model has ended: then the process is to be started again."""
    alive = _service(request).batcher.alive
    return Json({"status": "ok" if alive else "the model's thread has ended"}, 200 if alive else 503)


@watch.head("/readyz", include_in_schema=False)
@watch.get("/readyz", response_model=State, summary="Whether requests are answered")
async def readyz(request: Request) -> Json:
    """200 when model and spaces are loaded and warm, and the service is not stopping."""
    if request.app.state.gate.stopping:
        return Json({"status": "stopping"}, 503)
    _ = _service(request).model
    return Json({"status": "ready"})


@watch.get("/metrics", response_class=PlainTextResponse, summary="Counters for Prometheus")
async def metrics(request: Request) -> PlainTextResponse:
    """In the text format of Prometheus."""
    return PlainTextResponse(_service(request).metrics.text(), media_type="text/plain; version=0.0.4")


def _allowed(where: Mapping[str, Sequence[str]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """A filter as a task has it."""
    try:
        return tuple(sorted(alternatives(where).items()))
    except FilterError as error:
        raise Refusal(422, str(error)) from error


def _check_scored(found: Sequence[list[Hit] | UserError]) -> None:
    """Raises a Refusal that names the first query without hits."""
    from uwe_jax.ranking.ragged import not_scorable  # as in `Service.texts`

    for position, each in enumerate(found, 1):
        if isinstance(each, UserError):
            # Its own sentence counts from the first query of all requests that were ranked together.
            raise Refusal(422, not_scorable("Query", position))
