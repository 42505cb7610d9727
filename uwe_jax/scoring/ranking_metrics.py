"""Ranking metrics from the ranks of the relevant targets.

Ranks count from 1. Equal scores are ordered by target position, the lower first. For a query whose R relevant targets
have the ranks rank_1 < ... < rank_R and the grades g_1, ..., g_R, each at least 1, in descending order g'_1, ..., g'_R:

    map       1/R sum_i i / rank_i, the precision at every relevant rank (AP; MAP is its mean over queries)
    mrr       1 / rank_1
    hit@k     1 if rank_1 <= k, else 0
    recall@k  |{i: rank_i <= k}| / R
    rp@k      |{i: rank_i <= k}| / min(k, R)
    ndcg@k    sum over rank_i <= k of (2^g_i - 1) / log2(1 + rank_i),
              over sum_{i = 1..min(k, R)} of (2^g'_i - 1) / log2(1 + i)
    ndcg      the same without a cut-off

Binary relevance is the grade 1. All metrics but nDCG count the targets whose grade reaches a threshold, as if there
were no others, and are NaN for queries without any.

Lists of different lengths are concatenated: those of query k are the entries offsets[k] to offsets[k + 1].
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64, Integer, Real

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.settings import did_you_mean

DEFAULT_METRICS = ("map", "rp@10", "mrr", "ndcg@10", "recall@10", "hit@10")

# Sorting n scores costs as much as counting the scores above this many of them, one by one.
_COUNTED = 16
_TARGETS_PER_COUNTED = 1000


def relevant_ranks(
    scores: Real[np.ndarray, "q n"], offsets: Integer[np.ndarray, " bounds"], positions: Integer[np.ndarray, " e"]
) -> Int64[np.ndarray, " e"]:
    """Ranks the relevant targets, given by their `positions` among the n targets; higher scores are better.

    Memory grows with the relevant targets and one row of the scores. Scores may be infinite.
    Raises ValueError if a score is NaN, or a query has no relevant target.

    >>> relevant_ranks(np.array([[0.3, 0.9, 0.3, 0.1]]), np.array([0, 3]), np.array([2, 1, 0]))
    array([3, 1, 2])
    """
    q, n = scores.shape
    if empty := np.count_nonzero(np.diff(offsets) == 0):
        raise ValueError(f"{empty} of {q} queries have no relevant target; remove such queries before ranking.")
    # The maximum is NaN if any score is, and needs no array of booleans as large as the scores.
    if scores.size and np.isnan(scores.max()):
        nans = [np.count_nonzero(np.isnan(row)) for row in scores]
        raise ValueError(f"{sum(nans)} of {scores.size} scores, in {np.count_nonzero(nans)} of {q} queries, are NaN.")
    ranks = np.empty(len(positions), np.int64)
    few = min(_COUNTED, 1 + n // _TARGETS_PER_COUNTED)
    bounds = offsets.tolist()
    for row, start, stop in zip(scores, bounds[:-1], bounds[1:], strict=True):
        rank = _ranks_by_counting if stop - start <= few else _ranks_by_sorting
        ranks[start:stop] = rank(row, positions[start:stop])
    return ranks


def _ranks_by_counting(row: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Ranks of positions [r] in one query's scores [n], equal scores by position."""
    above = [np.count_nonzero(row[:k] >= row[k]) + np.count_nonzero(row[k:] > row[k]) for k in positions.tolist()]
    return 1 + np.array(above)


def _ranks_by_sorting(row: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """The same for many positions: a sort and a binary search are several times faster than an argsort."""
    ordered = np.sort(row)
    own = row[positions]
    not_above = np.searchsorted(ordered, own, side="right")
    below = np.searchsorted(ordered, own, side="left")
    ranks = len(row) - not_above + 1
    for i in np.flatnonzero(not_above - below > 1):
        ranks[i] += np.count_nonzero(row[: positions[i]] == own[i])
    return ranks


class _Ranked(NamedTuple):
    """Relevant ranks in ascending order within each query."""

    order: np.ndarray  # int64 [e], index of each rank before sorting
    rank: np.ndarray  # int64 [e], rank_i
    place: np.ndarray  # int64 [e], i
    starts: np.ndarray  # int64 [q]
    counts: np.ndarray  # int64 [q], R
    gain: np.ndarray  # float64 [e], 2^g_i - 1
    best: np.ndarray  # float64 [e], 2^g'_i - 1

    @classmethod
    def of(cls, ranks: np.ndarray, offsets: np.ndarray, grades: np.ndarray | None = None) -> _Ranked:
        owners = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        order = np.lexsort((ranks, owners))
        starts = offsets[:-1].astype(np.int64)
        places = np.arange(len(ranks)) - starts[owners] + 1
        gains = np.ones(len(ranks)) if grades is None else np.ldexp(1.0, grades.astype(np.int32)) - 1.0
        best = gains if grades is None else gains[np.lexsort((-gains, owners))]
        return cls(order, ranks[order], places, starts, np.diff(offsets), gains[order], best)

    def total(self, values: np.ndarray) -> np.ndarray:
        """Sums [q] of values [e] over the relevant targets of each query."""
        return np.add.reduceat(values, self.starts, dtype=np.float64)


def _dcg(ranked: _Ranked, gain: np.ndarray, rank: np.ndarray, k: float) -> np.ndarray:
    """Sum over rank_i <= k of gain_i / log2(1 + rank_i)."""
    return ranked.total(np.where(rank <= k, gain / np.log2(1.0 + rank), 0.0))


def _ndcg(ranked: _Ranked, k: float = np.inf) -> np.ndarray:
    # Both sums have the same entries, so that a perfect ranking has exactly 1.
    return _dcg(ranked, ranked.gain, ranked.rank, k) / _dcg(ranked, ranked.best, ranked.place, k)


_WHOLE: dict[str, Callable[[_Ranked], np.ndarray]] = {
    "map": lambda ranked: ranked.total(ranked.place / ranked.rank) / ranked.counts,
    "mrr": lambda ranked: 1.0 / ranked.rank[ranked.starts],
    "ndcg": _ndcg,
}
_CUT_OFF: dict[str, Callable[[_Ranked, int], np.ndarray]] = {
    "rp": lambda ranked, k: ranked.total(ranked.rank <= k) / np.minimum(k, ranked.counts),
    "ndcg": _ndcg,
    "recall": lambda ranked, k: ranked.total(ranked.rank <= k) / ranked.counts,
    "hit": lambda ranked, k: (ranked.rank[ranked.starts] <= k).astype(np.float64),
}


def _is_metric(name: str) -> bool:
    base, _, k = name.partition("@")
    return name in _WHOLE or (base in _CUT_OFF and re.fullmatch("[1-9][0-9]{0,8}", k) is not None)


def check_metric_names(names: Sequence[str]) -> None:
    """Raises a UserError that lists the metrics, unless every name is one and there is at least one.

    >>> check_metric_names(["map", "ndcg", "ndcg@10", "hit@1"])
    """
    unknown = [name for name in names if not _is_metric(name)]
    if unknown or not names:
        wrong = f"Unknown metric: {', '.join(map(repr, unknown))}" if unknown else "No metric is named"
        base, _, k = "".join(unknown[:1]).partition("@")
        known = filter(_is_metric, [*_WHOLE, *(f"{each}@{k or 10}" for each in _CUT_OFF)])
        near = did_you_mean(base if base in _WHOLE else "".join(unknown[:1]), known)
        raise UserError(
            f"{wrong}. Available are {', '.join(_WHOLE)}, and with a whole number k from 1 to 999999999 "
            f"{', '.join(f'{base}@k' for base in _CUT_OFF)}, such as rp@10.{near}"
        )


class Positives(NamedTuple):
    """The relevant targets that binary metrics count."""

    kept: np.ndarray  # bool [e]
    queries: np.ndarray  # bool [q], those with at least one
    offsets: np.ndarray  # int64, of these queries


def positives(
    offsets: Integer[np.ndarray, " bounds"], grades: Integer[np.ndarray, " e"] | None, threshold: int
) -> Positives:
    """Selects the relevant targets of a grade that reaches the threshold; all of them where relevance is binary.

    >>> kept, queries, offsets = positives(np.array([0, 2, 3]), np.array([3, 1, 1]), 2)
    >>> kept.tolist(), queries.tolist(), offsets.tolist()
    ([True, False, False], [True, False], [0, 1])
    """
    if grades is None:
        return Positives(np.ones(offsets[-1], bool), np.ones(len(offsets) - 1, bool), offsets)
    kept = grades >= threshold
    counts = np.diff(np.concatenate([[0], np.cumsum(kept)])[offsets])
    queries = counts > 0
    return Positives(kept, queries, np.concatenate([[0], np.cumsum(counts[queries])]))


def ranking_metrics(
    ranks: Integer[np.ndarray, " e"],
    offsets: Integer[np.ndarray, " bounds"],
    names: Sequence[str] = DEFAULT_METRICS,
    grades: Integer[np.ndarray, " e"] | None = None,
    threshold: int = 1,
) -> dict[str, Float64[np.ndarray, " q"]]:
    """Computes metrics per query, as fractions, from the ranks of relevant targets in any order, or raises UserError.

    Args:
      grades: of the relevant targets, from 1; None for binary relevance.
      threshold: the least grade that binary metrics count; they are NaN for a query without such a target.

    >>> ranking_metrics(np.array([3, 1, 4]), np.array([0, 2, 3]), ("mrr", "rp@1", "recall@1"))
    {'mrr': array([1.  , 0.25]), 'rp@1': array([1., 0.]), 'recall@1': array([0.5, 0. ])}
    >>> ranking_metrics(np.array([2, 1]), np.array([0, 1, 2]), ("mrr",), grades=np.array([3, 1]), threshold=2)
    {'mrr': array([0.5, nan])}
    """
    check_metric_names(names)
    every = relevant = _Ranked.of(ranks, offsets, grades)
    kept, queries, bounds = positives(offsets, grades, threshold)
    if not kept.all():
        relevant = _Ranked.of(ranks[kept], bounds)

    def metric(name: str) -> np.ndarray:
        base, _, k = name.partition("@")
        ranked = every if base == "ndcg" else relevant
        values = _CUT_OFF[base](ranked, int(k)) if k else _WHOLE[base](ranked)
        if ranked is every:
            return values
        found = np.full(len(queries), np.nan)
        found[queries] = values
        return found

    return {name: metric(name) for name in names}


def precisions(ranks: Integer[np.ndarray, " e"], offsets: Integer[np.ndarray, " bounds"]) -> Float64[np.ndarray, " e"]:
    """Precision i / rank_i at the rank of every relevant target, aligned with `ranks`; its mean per query is AP.

    >>> precisions(np.array([4, 1, 5]), np.array([0, 2, 3]))  # 2/4 and 1/1 of the first query, 1/5 of the second
    array([0.5, 1. , 0.2])
    """
    ranked = _Ranked.of(ranks, offsets)
    aligned = np.empty(len(ranks))
    aligned[ranked.order] = ranked.place / ranked.rank
    return aligned
