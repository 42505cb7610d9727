"""Ranking metrics from the ranks of the relevant targets. Each is written once, here.

Ranks count from 1. Equal scores are ordered by target position, the lower first, so a score matrix has one
ranking only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Integer


def relevant_ranks(scores: Float[np.ndarray, " n"], relevant: Integer[np.ndarray, " r"]) -> np.ndarray:
    """Ascending ranks [r] of the relevant target positions among all n targets.

    Sorting the scores and looking the few relevant ones up is several times faster than an argsort.

    >>> relevant_ranks(np.array([0.3, 0.9, 0.3, 0.1]), np.array([2, 1]))
    array([1, 3])
    """
    n = scores.shape[0]
    ordered = np.sort(scores)
    own = scores[relevant]
    above = n - np.searchsorted(ordered, own, side="right")
    equal = n - above - np.searchsorted(ordered, own, side="left")
    ranks = above + 1
    for i in np.flatnonzero(equal > 1):
        ranks[i] += np.count_nonzero(scores[: relevant[i]] == own[i])
    return np.sort(ranks)


def average_precision(ranks: Integer[np.ndarray, " r"]) -> float:
    """Mean over the relevant targets of the precision at their rank; its mean over queries is MAP.

    >>> average_precision(np.array([1, 3]))  # (1/1 + 2/3) / 2
    0.8333333333333333
    """
    return float(np.mean(np.arange(1, len(ranks) + 1) / ranks))


def r_precision_at(ranks: Integer[np.ndarray, " r"], k: int) -> float:
    """RP@k: relevant targets in the top k, over min(k, relevant targets).

    >>> r_precision_at(np.array([1, 3, 20]), 10)
    0.6666666666666666
    """
    return float(np.count_nonzero(ranks <= k) / min(k, len(ranks)))


def reciprocal_rank(ranks: Integer[np.ndarray, " r"]) -> float:
    """One over the first relevant rank; its mean over queries is MRR.

    >>> reciprocal_rank(np.array([4, 9]))
    0.25
    """
    return float(1.0 / ranks[0])


METRICS: dict[str, Callable[[np.ndarray], float]] = {
    "map": average_precision,
    "rp@10": lambda ranks: r_precision_at(ranks, 10),
    "mrr": reciprocal_rank,
}


def score_rankings(
    scores: Float[np.ndarray, "q n"], relevant: Sequence[Integer[np.ndarray, " _"]]
) -> dict[str, np.ndarray]:
    """Every metric of `METRICS` per query, as arrays [q].

    Args:
      scores: s(q, y) for q queries against n targets.
      relevant: for each query the positions of its relevant targets, at least one.

    Raises:
      ValueError: a query has no relevant target, or a score is NaN.
    """
    if np.isnan(scores).any():
        raise ValueError(f"{np.isnan(scores).sum()} of {scores.size} scores are NaN: they cannot be ranked.")
    if any(len(positions) == 0 for positions in relevant):
        raise ValueError("A query has no relevant target; leave such queries out before ranking.")
    ranks = [relevant_ranks(row, positions) for row, positions in zip(scores, relevant, strict=True)]
    return {name: np.array([metric(r) for r in ranks]) for name, metric in METRICS.items()}
