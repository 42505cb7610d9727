"""Measures a ranker on a task, chunk by chunk: the score matrix is never held whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from uwe_jax.evaluation.ranker import Ranker, Score
from uwe_jax.evaluation.tasks.task import RankingTask
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.progress import progress
from uwe_jax.scoring.ranking_metrics import positives, precisions, ranking_metrics, relevant_ranks
from uwe_jax.scoring.statistics import bootstrap_interval, long_tail

Keep = Callable[[int, np.ndarray], None]

# Scores held at once: 128 MiB of float32.
_SCORES = 32 * 2**20


class Measured(NamedTuple):
    """A ranker's results on one task.

    Attributes:
      per_query: by metric, float64 [q] in [0, 1]; NaN for queries that a binary metric leaves out. Graded tasks have
        nDCG, whether or not it is among the metrics.
      compared: those of the metrics by which models are compared, MAP first; graded tasks have nDCG too.
      ranks: int64 [e], from 1, of every relevant pair in the order of `task.relevant`.
      score: queries -> scores [q, n], for looking at single rankings afterwards.
      seconds: `total`, of indexing and ranking, and of it `encode`, where the ranker counts that.
    """

    per_query: dict[str, np.ndarray]
    compared: dict[str, np.ndarray]
    ranks: np.ndarray
    score: Score
    seconds: dict[str, float]

    @property
    def average_precision(self) -> np.ndarray:
        """The average precision of every query, float64 [q]."""
        return self.compared["map"]


def measure(ranker: Ranker, task: RankingTask, metrics: Sequence[str], keep: Keep | None = None) -> Measured:
    """Ranks all targets for all queries of a task.

    Args:
      keep: takes the position of the first query of every chunk, and its scores.

    Raises:
      UserError: as of `checked`; no query has a target that binary metrics count.
    """
    started, encoded = time.perf_counter(), getattr(ranker, "encode_seconds", None)
    score = ranker.index(task.targets)
    relevant = task.relevant
    ranks, start = np.empty(relevant.nnz, np.int64), 0
    for scores in scored(score, task.queries, len(task.targets), f"{ranker.name} on {task.title}"):
        part = relevant[start : start + len(scores)]
        ranks[relevant.indptr[start] :][: part.nnz] = relevant_ranks(scores, part.indptr, part.indices)
        if keep:
            keep(start, scores)
        start += len(scores)
    compared = ["map"] if task.grades is None else ["map", "ndcg"]
    names = dict.fromkeys((*metrics, *compared[1:]))
    found = ranking_metrics(ranks, relevant.indptr, (*names, "map"), task.grades, task.threshold)
    if np.isnan(found["map"]).all():
        raise UserError(
            f"{task.title}: none of the {len(task.queries):,} measured queries has a target of grade {task.threshold}, "
            "which binary metrics count. Measure more queries, or lower the threshold of the task."
        )
    per_query = {name: found[name] for name in names}
    seconds = {"total": time.perf_counter() - started}
    if encoded is not None:
        seconds["encode"] = float(getattr(ranker, "encode_seconds", 0.0) - encoded)
    return Measured(per_query, {name: found[name] for name in compared}, ranks, score, seconds)


def scored(score: Score, queries: Sequence[str], targets: int, where: str) -> Iterator[np.ndarray]:
    """Yields the scores [k, targets] of all queries in their order, in chunks that limit the scores held at once.

    Raises:
      UserError: as of `checked`.
    """
    rows = max(1, _SCORES // targets)
    starts = range(0, len(queries), rows)
    for start in progress(starts, label=where, unit="chunk") if len(starts) > 1 else starts:
        part = queries[start : start + rows]
        yield checked(score(part), (len(part), targets), where)


def checked(scores: Any, shape: tuple[int, int], where: str) -> np.ndarray:
    """Checks that scores can be ranked.

    Args:
      shape: required, [q, n].
      where: the ranker and the task, for messages.

    Raises:
      UserError: the scores have another shape, are not numbers, or are NaN.
    """
    try:
        array = np.asarray(scores)
    except ValueError as error:  # of NumPy, for lists of unequal lengths
        raise UserError(f"{where}: the scores are not an array ({error}). Return one row per query.") from error
    if array.shape != shape:
        raise UserError(
            f"{where}: scores of shape {array.shape} for {shape[0]} queries and {shape[1]} targets. Expected {shape}: "
            "one row per query, one column per target, in the order given."
        )
    if array.dtype == bool or not np.issubdtype(array.dtype, np.number) or np.iscomplexobj(array):
        raise UserError(f"{where}: scores of type {array.dtype}. Expected real numbers, higher for a better target.")
    if np.issubdtype(array.dtype, np.floating) and (missing := np.isnan(array)).any():
        raise UserError(
            f"{where}: {int(missing.sum()):,} of {array.size:,} scores are NaN and cannot be ranked, the first of them "
            f"for the query of row {int(missing.any(axis=1).argmax())} of its chunk. Fix the ranker; targets that must "
            "rank last score minus infinity."
        )
    return array


def summarise(measured: Measured, task: RankingTask, samples: int) -> dict[str, Any]:
    """Returns `metrics`, bootstrap 95 % `intervals` and `long_tail`, in percent, as in results.json.

    A metric is the mean over the queries that it does not leave out.
    """
    metrics: dict[str, float] = {}
    intervals: dict[str, list[float]] = {}
    for left_out in (False, True):  # all metrics over the same queries are resampled together
        names = [name for name, each in measured.per_query.items() if np.isnan(each).any() == left_out]
        if not names:
            continue
        values = 100.0 * np.stack([measured.per_query[name] for name in names], axis=1)
        values = values[~np.isnan(values).any(axis=1)]
        metrics |= dict(zip(names, values.mean(axis=0).tolist(), strict=True))
        ends = np.asarray(bootstrap_interval(values, samples=samples)).tolist() if samples else []
        intervals |= dict(zip(names, ends, strict=False))
    counted = positives(task.relevant.indptr, task.grades, task.threshold)
    places = task.relevant.indices[counted.kept]
    tail = long_tail(precisions(measured.ranks[counted.kept], counted.offsets), places, len(task.targets))
    return {
        "metrics": {name: metrics[name] for name in measured.per_query},
        "intervals": {name: intervals[name] for name in measured.per_query if name in intervals},
        "long_tail": [{**each, "map": 100.0 * each["map"]} for each in tail],
    }
