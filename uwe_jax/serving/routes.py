"""Routes of the service."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import PlainTextResponse

from uwe_jax.retrieval.calibration import RAW_SCORE, check_calibrated
from uwe_jax.retrieval.skill_filter import NO_REQUIREMENT
from uwe_jax.retrieval.store.columns import FilterError, alternatives
from uwe_jax.retrieval.store.searchable import Hit
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.settings import did_you_mean
from uwe_jax.scoring.scorer_text import scorer_text
from uwe_jax.serving import messages
from uwe_jax.serving.batching import Batcher
from uwe_jax.serving.gate import DEADLINE
from uwe_jax.serving.metrics import Metrics
from uwe_jax.serving.options import Limits
from uwe_jax.serving.refusals import Json, Refusal
from uwe_jax.serving.tasks import PairTask, RankTask, ServedModel
from uwe_jax.sources.tables.problems import shorten
from uwe_jax.sources.vacancies.sentences import cut_sentences, plain_text

_LETTER = re.compile(r"[^\W\d_]")
_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": messages.Problem, "description": description}
    for status, description in {
        400: "The body is not JSON, or its length is given twice.",
        401: "An API key is required.",
        413: "The body is too large.",
        415: "The content type is not application/json.",
        422: "A value of the request is invalid.",
        429: "Too many requests of this client.",
        503: "Busy, not ready yet, or stopping: try again after Retry-After seconds.",
        504: "The request's deadline has passed.",
    }.items()
}


async def _json_only(request: Request) -> None:
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    # A page of another site could send any other type without a preflight request of the browser.
    if request.method == "POST" and media != "application/json":
        raise Refusal(415, f"The content type is {media[:80] or 'missing'}; it must be application/json.")


# Answers have the index under the former key "space" as well, until the next release.
api = APIRouter(prefix="/v1", tags=["Ranking"], responses=_RESPONSES, dependencies=[Depends(_json_only)])
watch = APIRouter(tags=["Monitoring"])


@dataclass(frozen=True)
class Service:
    """State that the routes share, as `app.state.service`."""

    batcher: Batcher
    limits: Limits
    metrics: Metrics

    @property
    def model(self) -> ServedModel:
        """The model; raises a Refusal while it is loading."""
        if self.batcher.model is None:
            raise Refusal(503, "The model is still loading.", retry_after=5)
        return self.batcher.model

    def rank_task(self, asked: messages.SearchRequest, texts: Sequence[str], what: str) -> RankTask:
        """Returns a search for texts, checked; `what` names one of the texts in errors."""
        index = self.index(asked.index)
        if not 1 <= asked.top_k <= self.limits.max_top_k:
            raise Refusal(422, f"top_k is {asked.top_k}; it must be 1 to {self.limits.max_top_k}.")
        try:
            where = tuple(sorted(alternatives(asked.where).items()))
        except FilterError as error:
            raise Refusal(422, str(error)) from error
        if asked.min_probability is not None and not self.model.calibrations[index]:
            try:
                ranker = self.model.ranker
                check_calibrated(self.model.indexes[index], ranker.origin, ranker.how, index, asked.min_probability)
            except UserError as error:
                raise Refusal(422, str(error)) from error
        least = asked.min_score, asked.min_probability
        return RankTask(self.texts(texts, what), index, asked.top_k, where, least)

    def index(self, name: str) -> str:
        """Returns the name of an index, that of the first one for an empty name; refuses an unknown one."""
        indexes = self.model.indexes
        if name and name not in indexes:
            near = did_you_mean(name, indexes)
            raise Refusal(422, f"Unknown index {shorten(name)}.{near} Name one of: {', '.join(indexes)}.")
        return name or next(iter(indexes))

    def note(self, index: str) -> str:
        """Returns what scores mean, where hits of an index have no probabilities; else ""."""
        return "" if self.model.calibrations[index] else RAW_SCORE

    def texts(self, texts: Sequence[str], what: str) -> tuple[str, ...]:
        """Returns texts in the form in which a model takes them, checked; `what` names one of them in errors."""
        _ = self.model  # loaded, and jax with it: importing it here while the other thread does would break both
        from uwe_jax.retrieval.limits import accepted

        if not 1 <= len(texts) <= self.limits.max_queries:
            kind = {"Query": "queries"}.get(what, f"{what.lower()}s")
            raise Refusal(422, f"Got {len(texts):,} {kind}; 1 to {self.limits.max_queries} are allowed per request.")
        most = self.limits.max_characters
        for position, text in enumerate(texts, 1):
            if len(text) > most:
                raise Refusal(422, f"{what} {position} has {len(text):,} characters; at most {most:,} are allowed.")
        try:
            return tuple(accepted(texts, what))
        except UserError as error:
            raise Refusal(422, str(error)) from error


async def _service(request: Request) -> Service:
    return request.app.state.service


Shared = Annotated[Service, Depends(_service)]


@api.post("/rank", response_model=messages.RankAnswer, summary="Rank targets for queries")
async def rank(request: Request, service: Shared, asked: messages.RankRequest) -> Json:
    """Ranks the targets of an index for every query."""
    task = service.rank_task(asked, asked.queries, "Query")
    found, truncated = await service.batcher.ask(task, request.scope[DEADLINE])
    results = []
    for position, (query, hits) in enumerate(zip(asked.queries, found, strict=True), 1):
        if isinstance(hits, UserError):
            from uwe_jax.ranking.ragged import not_scorable  # as in `Service.texts`

            # The error itself counts from the first query of all requests of the batch.
            raise Refusal(422, not_scorable("Query", position))
        listed = [hit.to_dict() for hit in hits]
        results.append({"query": query, "hits": listed, "of": hits.total, "none": hits.none})
    names = {"index": task.index, "space": task.index}
    return Json({**names, "results": results, "note": service.note(task.index), "truncated": truncated})


@api.post("/vacancy", response_model=messages.VacancyAnswer, summary="Find the skills of a vacancy")
async def vacancy(request: Request, service: Shared, asked: messages.VacancyRequest) -> Json:
    """Cuts a vacancy into sentences, ranks targets for each, and merges the best of all.

    Sentences beyond the `queries` or `characters` that are allowed, and those that the model cannot score, are omitted
    and counted, as are those that are no requirement, where the service has a filter.
    """
    limits = service.limits
    if len(asked.text) > limits.max_vacancy_characters:
        most = limits.max_vacancy_characters
        raise Refusal(422, f"The vacancy has {len(asked.text):,} characters; at most {most:,} are allowed.")
    found = await asyncio.to_thread(vacancy_sentences, asked.text)
    sentences = [each for each in found if len(each) <= limits.max_characters][: limits.max_queries]
    if not sentences:
        raise Refusal(
            422,
            f"The vacancy has no sentence of at most {limits.max_characters:,} characters. Send text with line breaks "
            "or full stops.",
        )
    task = replace(service.rank_task(asked, sentences, "Sentence"), sentences=True)
    answers, truncated = await service.batcher.ask(task, request.scope[DEADLINE])
    ranked = [each for each in zip(sentences, answers, strict=True) if not isinstance(each[1], UserError)]
    hits = [
        {**hit.to_dict(), "sentence": sentence, "support": support}
        for hit, sentence, support in gather([hits for _, hits in ranked], task.top_k)
    ]
    no_skill = sum(each.none.startswith(NO_REQUIREMENT) for _, each in ranked)
    counts = {"omitted": len(found) - len(ranked), "no_requirement": no_skill, "truncated": truncated}
    names = {"index": task.index, "space": task.index}
    absent = [each.none for _, each in ranked if each.none and not each.none.startswith(NO_REQUIREMENT)]
    none = f"None of {len(ranked)} sentences has such a hit. Of the first, {absent[0]}" if absent and not hits else ""
    if no_skill and no_skill == len(ranked):
        none = f"Each of {len(ranked)} sentences is taken for no requirement."
    said = {"of": max((found.total for _, found in ranked), default=0), "note": service.note(task.index), "none": none}
    return Json({**names, "sentences": [sentence for sentence, _ in ranked], **counts, "hits": hits, **said})


@api.post("/scores", response_model=messages.ScoresAnswer, summary="Score pairs")
async def scores(request: Request, service: Shared, asked: messages.ScoresRequest) -> Json:
    """Scores every query with every target; the targets need not be in any index."""
    task = PairTask(service.texts(asked.queries, "Query"), service.texts(asked.targets, "Target"))
    found, truncated = await service.batcher.ask(task, request.scope[DEADLINE])
    return Json({"scores": found, "truncated": truncated})


@api.post("/explain", response_model=messages.ExplainAnswer, summary="Explain a score")
async def explain(request: Request, service: Shared, asked: messages.ExplainRequest) -> Json:
    """Explains a score by the attention and the cosines between tokens of the query and of the target."""
    if bool(asked.id) == bool(asked.target):
        given = "both target and id" if asked.id else "neither target nor id"
        raise Refusal(422, f"Got {given}. Give target, a text, or id, that of a target of an index.")
    queries, index = service.texts([asked.query], "Query"), service.index(asked.index)
    targets = () if asked.id else service.texts([asked.target], "Target")
    task = PairTask(queries, targets, explain=True, index=index, id=asked.id)
    found, truncated = await service.batcher.ask(task, request.scope[DEADLINE])
    sure = found.get("hit") and found["hit"]["probability"] is not None
    return Json({**found, "note": "" if sure else RAW_SCORE, "truncated": truncated})


@api.get("/spaces", include_in_schema=False)  # the former name, until the next release
@api.get("/indexes", response_model=messages.IndexesAnswer, summary="Describe the service")
async def indexes(request: Request, service: Shared) -> Json:
    """Describes the model, the indexes and the limits of a request."""
    model, origin = service.model, service.model.ranker.origin
    return Json(
        {
            "model": {
                "name": model.ranker.name,
                "scorer": scorer_text(origin.scorer),
                "fingerprint": origin.fingerprint,
                "tokens": origin.max_tokens,
            },
            request.url.path.rpartition("/")[2]: [
                {
                    "name": name,
                    "targets": len(index),
                    "calibration": str(model.calibrations[name] or ""),
                    "columns": list(index.columns),
                }
                for name, index in model.indexes.items()
            ],
            "limits": {name: getattr(service.limits, f"max_{name}") for name in messages.LimitsAnswer.model_fields},
        }
    )


@watch.head("/healthz", include_in_schema=False)
@watch.get("/healthz", response_model=messages.State, summary="Liveness")
async def healthz(service: Shared) -> Json:
    """Answers 200 unless the thread of the model has ended: then the process must be restarted."""
    alive = service.batcher.alive
    return Json({"status": "ok" if alive else "the model's thread has ended"}, 200 if alive else 503)


@watch.head("/readyz", include_in_schema=False)
@watch.get("/readyz", response_model=messages.State, summary="Readiness")
async def readyz(request: Request, service: Shared) -> Json:
    """Answers 200 when the model and the indexes are loaded and warm, and the service is not stopping."""
    if request.app.state.gate.stopping:
        return Json({"status": "stopping"}, 503)
    _ = service.model
    return Json({"status": "ready"})


@watch.get("/metrics", response_class=PlainTextResponse, summary="Metrics for Prometheus")
async def metrics(service: Shared) -> PlainTextResponse:
    """Returns metrics in the text format of Prometheus."""
    return PlainTextResponse(service.metrics.text(), media_type="text/plain; version=0.0.4")


def vacancy_sentences(text: str) -> list[str]:
    """Cuts a vacancy, plain text or HTML, into its distinct sentences.

    Headings, which end in a colon, and lines without a letter are left out; single words, as in lists of skills, count.

    >>> vacancy_sentences("You have:\\n- Python\\n- R&D experience\\n2024\\nPython")
    ['Python', 'R&D experience']
    """
    found = cut_sentences(plain_text(text))
    return list(dict.fromkeys(each for each in found if not each.endswith(":") and _LETTER.search(each)))


def gather(hits: Sequence[Sequence[Hit]], top_k: int) -> list[tuple[Hit, int, int]]:
    """Merges the hits of every sentence into the `top_k` best targets of the vacancy, best first.

    Returns:
      For each target the hit of the sentence that supports it best, that sentence's position, and the number of
      sentences that have it among their hits.

    >>> one, two = Hit("1", "welding", 0.5), Hit("2", "drilling", 0.4)
    >>> [(hit.text, sentence, support) for hit, sentence, support in gather([[two], [one, two]], 5)]
    [('welding', 1, 1), ('drilling', 0, 2)]
    """
    best: dict[str, tuple[Hit, int, int]] = {}
    for number, row in enumerate(hits):
        for found in row:
            hit, sentence, support = best.get(found.id, (found, number, 0))
            if _order(found) > _order(hit):
                hit, sentence = found, number
            best[found.id] = hit, sentence, support + 1
    return sorted(best.values(), key=lambda each: _order(each[0]), reverse=True)[:top_k]


def _order(hit: Hit) -> tuple[bool, float]:
    """Sorts hits of several sentences, by their probabilities where they have some: scores do not compare."""
    return hit.exact, hit.score if hit.probability is None else hit.probability
