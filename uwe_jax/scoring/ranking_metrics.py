"""Ranking metrics from the ranks of the relevant targets. Each is written once, here.

Ranks count from 1. Equal scores are ordered by target position, the lower first, so a score matrix has one ranking
only. Relevance is binary. For a query whose R relevant targets stand at the ranks rank_1 < ... < rank_R:

    map       1/R sum_i i / rank_i, the precision at every relevant rank (AP; MAP is its mean over queries)
    mrr       1 / rank_1
    hit@k     1 if rank_1 <= k, else 0
    recall@k  |{i: rank_i <= k}| / R
    rp@k      |{i: rank_i <= k}| / min(k, R)
    ndcg@k    sum over rank_i <= k of 1 / log2(1 + rank_i), over sum_{i = 1..min(k, R)} of 1 / log2(1 + i)
    ndcg      the same without a cut-off

Lists of different lengths stand one after another: those of query k are the entries offsets[k] to offsets[k + 1].
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64, Integer, Real

from uwe_jax.runtime.errors import UserError

DEFAULT_METRICS = ("map", "rp@10", "mrr", "ndcg@10", "recall@10", "hit@10")

# Sorting n scores costs as much as counting those above so many of them, one by one.
_COUNTED = 16
_TARGETS_PER_COUNTED = 1000


def _owners(offsets: np.ndarray, entries: int) -> np.ndarray:
    """The query of every entry, int64 [e], once the offsets are known to give each query one at least."""
    counts = np.diff(offsets)
    if offsets[0] != 0 or offsets[-1] != entries or (counts < 0).any():
        raise ValueError(
            f"offsets run from {offsets[0]} to {offsets[-1]}; they must rise from 0 to the {entries} relevant targets."
        )
    if (counts == 0).any():
        raise ValueError(
            f"{np.count_nonzero(counts == 0)} of {len(counts)} queries have no relevant target; leave such queries "
            "out before ranking."
        )
    return np.repeat(np.arange(len(counts)), counts)


def relevant_ranks(
    scores: Real[np.ndarray, "q n"], offsets: Integer[np.ndarray, " bounds"], positions: Integer[np.ndarray, " e"]
) -> Int64[np.ndarray, " e"]:
    """The rank of every relevant target among all n targets, aligned with `positions`.

    A score may be infinite. Memory grows with the relevant targets and one row of the scores.

    >>> relevant_ranks(np.array([[0.3, 0.9, 0.3, 0.1]]), np.array([0, 3]), np.array([2, 1, 0]))
    array([3, 1, 2])

    Args:
      scores: s(q, y), higher is better.
      offsets: [q + 1], where the relevant targets of each query start.
      positions: of the relevant targets among the n targets; those of one query in any order.

    Raises:
      ValueError: a score is NaN, a query has no relevant target or one of them twice, a position is outside the
        targets, or offsets, positions and scores do not belong together.
    """
    q, n = scores.shape
    if len(offsets) != q + 1:
        raise ValueError(f"{len(offsets)} offsets for {q} queries; expected {q + 1}.")
    owners = _owners(offsets, len(positions))
    outside = np.count_nonzero((positions < 0) | (positions >= n))
    if outside:
        raise ValueError(f"{outside} of {len(positions)} relevant positions are outside the {n} targets.")
    repeated = np.count_nonzero(np.diff(np.sort(owners * n + positions)) == 0)
    if repeated:
        raise ValueError(f"{repeated} of {len(positions)} relevant positions stand twice in one query.")
    # The maximum is NaN if any score is, and needs no array of booleans as large as the scores.
    if scores.size and np.isnan(scores.max()):
        nans = [np.count_nonzero(np.isnan(row)) for row in scores]
        raise ValueError(
            f"{sum(nans)} of {scores.size} scores, in {np.count_nonzero(nans)} of {q} queries, are NaN: they cannot be "
            "ranked."
        )
    ranks = np.empty(len(positions), np.int64)
    few = min(_COUNTED, 1 + n // _TARGETS_PER_COUNTED)
    bounds = offsets.tolist()
    for row, start, stop in zip(scores, bounds[:-1], bounds[1:], strict=True):
        rank = _ranks_by_counting if stop - start <= few else _ranks_by_sorting
        ranks[start:stop] = rank(row, positions[start:stop])
    return ranks


def _ranks_by_counting(row: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Ranks of positions [r] in one query's scores [n]: of equal scores, those that stand before come first."""
    above = [np.count_nonzero(row[:k] >= row[k]) + np.count_nonzero(row[k:] > row[k]) for k in positions.tolist()]
    return 1 + np.array(above)


def _ranks_by_sorting(row: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """The same for many positions: sorting and looking them up is several times faster than an argsort."""
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

    order: np.ndarray  # int64 [e], where each rank stood
    rank: np.ndarray  # int64 [e], rank_i
    place: np.ndarray  # int64 [e], i
    starts: np.ndarray  # int64 [q]
    counts: np.ndarray  # int64 [q], R

    @classmethod
    def of(cls, ranks: np.ndarray, offsets: np.ndarray) -> _Ranked:
        owners = _owners(offsets, len(ranks))
        order = np.lexsort((ranks, owners))
        rank = ranks[order]
        repeated = np.count_nonzero((np.diff(rank) == 0) & (np.diff(owners) == 0))
        if repeated or (rank < 1).any():
            raise ValueError(
                f"{np.count_nonzero(rank < 1)} of {len(rank)} ranks are below 1 and {repeated} stand twice in one "
                "query."
            )
        starts = offsets[:-1].astype(np.int64)
        return cls(order, rank, np.arange(len(rank)) - starts[owners] + 1, starts, np.diff(offsets))

    def total(self, values: np.ndarray) -> np.ndarray:
        """Sums [q] of values [e] over the relevant targets of each query."""
        return np.add.reduceat(values, self.starts, dtype=np.float64)


def _precisions(ranked: _Ranked) -> np.ndarray:
    """i / rank_i."""
    return ranked.place / ranked.rank


def _average_precision(ranked: _Ranked) -> np.ndarray:
    """1/R sum_i i / rank_i."""
    return ranked.total(_precisions(ranked)) / ranked.counts


def _reciprocal_rank(ranked: _Ranked) -> np.ndarray:
    """1 / rank_1."""
    return 1.0 / ranked.rank[ranked.starts]


def _hit(ranked: _Ranked, k: int) -> np.ndarray:
    """1 if rank_1 <= k, else 0."""
    return (ranked.rank[ranked.starts] <= k).astype(np.float64)


def _recall(ranked: _Ranked, k: int) -> np.ndarray:
    """|{i: rank_i <= k}| / R."""
    return ranked.total(ranked.rank <= k) / ranked.counts


def _r_precision(ranked: _Ranked, k: int) -> np.ndarray:
    """|{i: rank_i <= k}| / min(k, R)."""
    return ranked.total(ranked.rank <= k) / np.minimum(k, ranked.counts)


def _gain(ranked: _Ranked, k: float = np.inf) -> np.ndarray:
    """Sum over rank_i <= k of 1 / log2(1 + rank_i), over the same with every rank_i = i.

    Both are summed over the same entries, so that a perfect ranking has exactly 1.
    """

    def discounted(rank: np.ndarray) -> np.ndarray:
        return ranked.total(np.where(rank <= k, 1.0 / np.log2(1.0 + rank), 0.0))

    return discounted(ranked.rank) / discounted(ranked.place)


_WHOLE: dict[str, Callable[[_Ranked], np.ndarray]] = {
    "map": _average_precision,
    "mrr": _reciprocal_rank,
    "ndcg": _gain,
}
_CUT_OFF: dict[str, Callable[..., np.ndarray]] = {
    "rp": _r_precision,
    "ndcg": _gain,
    "recall": _recall,
    "hit": _hit,
}


def _find(name: str) -> Callable[[_Ranked], np.ndarray] | None:
    base, _, k = name.partition("@")
    if base in _CUT_OFF and re.fullmatch("[1-9][0-9]{0,8}", k):
        return functools.partial(_CUT_OFF[base], k=int(k))
    return _WHOLE.get(name)


def _find_all(names: Sequence[str]) -> dict[str, Callable[[_Ranked], np.ndarray]]:
    found = {name: metric for name in names if (metric := _find(name))}
    unknown = [name for name in names if name not in found]
    if unknown or not names:
        wrong = f"Unknown metric: {', '.join(map(repr, unknown))}" if unknown else "No metric is named"
        raise UserError(
            f"{wrong}. There are {', '.join(_WHOLE)}, and with a whole number k from 1 to 999999999 "
            f"{', '.join(f'{base}@k' for base in _CUT_OFF)}, such as rp@10."
        )
    return found


def check_metric_names(names: Sequence[str]) -> None:
    """Raises a UserError that lists what there is, unless every name is a metric and there is one.

    >>> check_metric_names(["map", "ndcg", "ndcg@10", "hit@1"])
    """
    _find_all(names)


def ranking_metrics(
    ranks: Integer[np.ndarray, " e"], offsets: Integer[np.ndarray, " bounds"], names: Sequence[str] = DEFAULT_METRICS
) -> dict[str, Float64[np.ndarray, " q"]]:
    """Metrics of every query by name, as fractions; the module's text defines them.

    >>> ranking_metrics(np.array([3, 1, 4]), np.array([0, 2, 3]), ("mrr", "rp@1", "recall@1"))
    {'mrr': array([1.  , 0.25]), 'rp@1': array([1., 0.]), 'recall@1': array([0.5, 0. ])}

    Args:
      ranks: of the relevant targets, those of one query in any order.
      offsets: [q + 1], where the ranks of each query start.
      names: metrics to compute.

    Raises:
      UserError: an unknown name, or none.
      ValueError: a query has no rank, a rank twice or one below 1, or offsets and ranks do not belong together.
    """
    metrics = _find_all(names)
    ranked = _Ranked.of(ranks, offsets)
    return {name: metric(ranked) for name, metric in metrics.items()}


def precisions(ranks: Integer[np.ndarray, " e"], offsets: Integer[np.ndarray, " bounds"]) -> Float64[np.ndarray, " e"]:
    """The precision i / rank_i at the rank of every relevant target, aligned with `ranks`; its mean per query is AP.

    >>> precisions(np.array([4, 1, 5]), np.array([0, 2, 3]))  # 2/4 and 1/1 of the first query, 1/5 of the second
    array([0.5, 1. , 0.2])

    Raises:
      ValueError: as in `ranking_metrics`.
    """
    ranked = _Ranked.of(ranks, offsets)
    aligned = np.empty(len(ranks))
    aligned[ranked.order] = _precisions(ranked)
    return aligned
