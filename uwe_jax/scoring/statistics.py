"""Fixed samples of queries, bootstrap intervals, and metrics by how often targets are relevant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Integer

# Bins by the number of queries that a target is relevant for: lower bound and name.
_BINS = {1: "1", 2: "2-5", 6: "6-20", 21: "21-100", 101: "101+"}


def fixed_sample(count: int, most: int) -> Integer[np.ndarray, " drawn"]:
    """Draws at most `most` of `count` positions, ascending and the same every time; 0 takes all.

    >>> fixed_sample(3, 0), fixed_sample(100, 2)
    (array([0, 1, 2]), array([36, 82]))
    """
    if not 0 < most < count:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).permutation(count)[:most])


def bootstrap_interval(
    values: Float[np.ndarray, " q *metrics"], *, samples: int = 1000, level: float = 0.95, seed: int = 0
) -> Any:
    """Percentile bootstrap interval of the mean over queries (Efron 1979).

    q queries are drawn with replacement `samples` times; the interval is between the (1 - level)/2 and (1 + level)/2
    quantiles (linearly interpolated) of the means. Memory grows with q alone. The same q and seed draw the same
    resamples, whatever the values.

    >>> bootstrap_interval(np.array([0.25]))
    (0.25, 0.25)

    Returns:
      (lo, hi) as floats for one metric [q]; float64 [metrics, 2] for several [q, metrics].
    """
    rng = np.random.default_rng(seed)
    q = len(values)
    mean = values.mean(axis=0, dtype=np.float64)
    # Deviations from the mean, so that rounding gives equal values no width.
    deviations = np.ascontiguousarray((values - mean[None]).T)
    # Not a matrix product: synchronising the threads of a BLAS takes longer than so short a sum.
    moved = [
        np.einsum("q,...q->...", np.bincount(rng.integers(0, q, q), minlength=q), deviations) for _ in range(samples)
    ]
    ends = mean[None] + np.quantile(np.stack(moved) / q, [(1 - level) / 2, (1 + level) / 2], axis=0)
    # Rounding could put a mean outside the values, and show it as -0.00.
    lo, hi = np.clip(ends, values.min(axis=0)[None], values.max(axis=0)[None])
    return (float(lo), float(hi)) if values.ndim == 1 else np.stack([lo, hi], axis=1)


def paired_bootstrap(
    a: Float[np.ndarray, " q"], b: Float[np.ndarray, " q"], *, samples: int = 1000
) -> tuple[float, float, float]:
    """Mean of a - b, per query of two models, with its 95 % bootstrap interval: (difference, lo, hi).

    Every resample takes the same queries of both, so that the difficulty of a query for both models cancels. The models
    differ significantly if the interval does not contain 0. Queries without a value, NaN, are left out.

    >>> paired_bootstrap(np.array([0.5, 0.75]), np.array([0.25, 0.5]))
    (0.25, 0.25, 0.25)
    """
    difference = np.subtract(a, b, dtype=np.float64)
    difference = difference[~np.isnan(difference)]
    lo, hi = bootstrap_interval(difference, samples=samples)
    return float(difference.mean()), lo, hi


def macro_difference(
    rankings: Sequence[tuple[Float[np.ndarray, " _"], Float[np.ndarray, " _"], Sequence[str]]],
) -> tuple[float, float, float, int]:
    """Difference of two models' macro-averages over rankings, with its bootstrap interval: (difference, lo, hi, q).

    A query that occurs in several rankings is drawn with all its values at once, since they are not independent:

        difference = mean_r mean_{i in r} d_ri,    resampled: difference + sum_i c_i sum_r (d_ri - mean_r) / (R n_r),

    where d_ri is a - b for query i of ranking r, R the number of rankings, n_r the number of queries in r, and c_i the
    number of times that query i was drawn in q draws.

    >>> same = (np.array([0.5, 0.75]), np.array([0.25, 0.5]), ["a", "b"])
    >>> macro_difference([same, same])
    (0.25, 0.25, 0.25, 2)

    Args:
      rankings: for each, a metric per query of one model and of the other, and the names of the queries.
    """
    differences = [np.subtract(a, b, dtype=np.float64) for a, b, _ in rankings]
    macro = float(np.mean([each.mean() for each in differences]))
    names = [name for *_, of_one in rankings for name in of_one]
    place = {name: k for k, name in enumerate(dict.fromkeys(names))}
    moved = np.concatenate([(each - each.mean()) / (len(each) * len(rankings)) for each in differences])
    lo, hi = bootstrap_interval(macro + len(place) * np.bincount([place[name] for name in names], moved))
    return macro, lo, hi, len(place)


def long_tail(
    precisions: Float[np.ndarray, " e"], positions: Integer[np.ndarray, " e"], n_targets: int
) -> list[dict[str, Any]]:
    """Bins relevant (query, target) pairs by the number of queries that the target is relevant for.

    A bin's map is the mean of its pairs' precisions at the target's rank. It is not a mean of AP over queries: pairs
    have equal weight, and a query's pairs may fall into several bins.

    >>> for row in long_tail(np.array([1.0, 0.5, 0.25]), np.array([7, 2, 7]), 9):  # target 7 is relevant twice
    ...     print(row)
    {'relevant_for': '1', 'targets': 1, 'pairs': 1, 'map': 0.5}
    {'relevant_for': '2-5', 'targets': 1, 'pairs': 2, 'map': 0.625}

    Args:
      precisions: of every relevant pair, from `ranking_metrics.precisions`.
      positions: the target of every pair.

    Returns:
      A row per bin with a pair, rarely relevant targets first.
    """
    asked = np.bincount(positions, minlength=n_targets)
    bins = np.searchsorted(list(_BINS), asked, side="right")
    targets = np.bincount(bins, minlength=len(_BINS) + 1)
    pairs = np.bincount(bins[positions], minlength=len(_BINS) + 1)
    totals = np.bincount(bins[positions], weights=precisions, minlength=len(_BINS) + 1)
    return [
        {"relevant_for": name, "targets": int(targets[b]), "pairs": int(pairs[b]), "map": float(totals[b] / pairs[b])}
        for b, name in enumerate(_BINS.values(), start=1)
        if pairs[b]
    ]
