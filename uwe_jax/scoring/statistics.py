"""A fixed sample of queries, how sure a mean over them is, and what it hides about targets that are rarely relevant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Integer

# For how many queries of a task a target is relevant: the least of each bin, and its name.
_BINS = {1: "1", 2: "2-5", 6: "6-20", 21: "21-100", 101: "101+"}


def fixed_sample(count: int, most: int) -> Integer[np.ndarray, " drawn"]:
    """Positions of at most `most` of `count` things, ascending, drawn at random and the same every time; 0 takes all.

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
    quantiles (linearly interpolated) of the means. A resample is kept as how often each query was drawn, one at a
    time, so memory grows with q alone. The same q and seed draw the same resamples, whatever the values.

    >>> bootstrap_interval(np.array([0.25]))
    (0.25, 0.25)

    Args:
      values: one metric per query, [q], or several, [q, metrics].
      samples: number of resamples.
      level: share of the means inside the interval.
      seed: another seed, other resamples.

    Returns:
      (lo, hi) as floats for one metric; float64 [metrics, 2] for several.

    Raises:
      ValueError: no query, a value that is not finite, or an impossible level or number of samples.
    """
    if samples < 1 or not 0 < level < 1:
        raise ValueError(f"samples is {samples} and level {level}; expected at least 1, and above 0 and below 1.")
    if values.ndim > 2 or not len(values):
        raise ValueError(f"values have shape {values.shape}; expected [q] or [q, metrics] with a query at least.")
    finite = np.isfinite(values)
    if not finite.all():
        raise ValueError(f"{np.count_nonzero(~finite)} of {values.size} values are not finite: they have no mean.")
    rng = np.random.default_rng(seed)
    q = len(values)
    mean = values.mean(axis=0, dtype=np.float64)
    # Deviations from the mean, so that rounding gives equal values no width.
    deviations = np.ascontiguousarray((values - mean[None]).T)
    # Not a matrix product: the threads of a BLAS take longer to meet than so short a sum takes.
    moved = [
        np.einsum("q,...q->...", np.bincount(rng.integers(0, q, q), minlength=q), deviations) for _ in range(samples)
    ]
    ends = mean[None] + np.quantile(np.stack(moved) / q, [(1 - level) / 2, (1 + level) / 2], axis=0)
    # No mean lies outside its values; rounding would have it, and show as -0.00.
    lo, hi = np.clip(ends, values.min(axis=0)[None], values.max(axis=0)[None])
    return (float(lo), float(hi)) if values.ndim == 1 else np.stack([lo, hi], axis=1)


def paired_bootstrap(
    a: Float[np.ndarray, " q"],
    b: Float[np.ndarray, " _"],
    *,
    samples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Mean of a - b over queries with its bootstrap interval: (difference, lo, hi).

    Every resample takes the same queries of both, so what makes a query hard for both models cancels. An interval
    without 0 tells the models apart.

    >>> paired_bootstrap(np.array([0.5, 0.75]), np.array([0.25, 0.5]))
    (0.25, 0.25, 0.25)

    Args:
      a: a metric of one model, per query.
      b: the same metric of another model, for the same queries.
      samples: as in `bootstrap_interval`.
      level: as in `bootstrap_interval`.
      seed: as in `bootstrap_interval`.

    Raises:
      ValueError: as in `bootstrap_interval`, or a and b are not of the same queries.
    """
    if a.shape != b.shape:
        raise ValueError(f"a has {len(a)} queries and b {len(b)}; expected the same queries.")
    difference = np.subtract(a, b, dtype=np.float64)
    lo, hi = bootstrap_interval(difference, samples=samples, level=level, seed=seed)
    return float(difference.mean()), lo, hi


def macro_difference(
    rankings: Sequence[tuple[Float[np.ndarray, " _"], Float[np.ndarray, " _"], Sequence[str]]],
) -> tuple[float, float, float, int]:
    """Difference of two models' macro-averages over rankings, with its bootstrap interval: (difference, lo, hi, q).

    With one ranking it is `paired_bootstrap`. With several, a query that occurs in more than one of them is drawn with
    all its values at once, since they are not independent:

        difference = mean_r mean_{i in r} d_ri,    resampled: difference + sum_i c_i sum_r (d_ri - mean_r) / (R n_r),

    where d_ri is a - b for query i of ranking r, R the number of rankings, n_r that of queries in r, and c_i how often
    query i was drawn in q draws.

    >>> same = (np.array([0.5, 0.75]), np.array([0.25, 0.5]), ["a", "b"])
    >>> macro_difference([same, same])
    (0.25, 0.25, 0.25, 2)

    Args:
      rankings: for each a metric of one model per query, that of the other, and names of the queries.

    Returns:
      The difference, the ends of its 95 % interval, and the number of distinct queries.
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
    """How well targets are found, by for how many queries of the task they are relevant.

    A bin's map is the mean, over its relevant (query, target) pairs, of the precision at the target's rank. Pairs count
    alike, so it is no mean of AP over queries, and a query's pairs may fall into several bins.

    >>> for row in long_tail(np.array([1.0, 0.5, 0.25]), np.array([7, 2, 7]), 9):  # target 7 is relevant twice
    ...     print(row)
    {'relevant_for': '1', 'targets': 1, 'pairs': 1, 'map': 0.5}
    {'relevant_for': '2-5', 'targets': 1, 'pairs': 2, 'map': 0.625}

    Args:
      precisions: of every relevant pair, as `ranking_metrics.precisions` gives them.
      positions: the target of every pair.
      n_targets: size of the target space.

    Returns:
      A row per bin that holds a pair, rarely relevant targets first: relevant_for (queries), targets and pairs in the
      bin, and map in the unit of `precisions`.

    Raises:
      ValueError: a position is outside the targets.
    """
    outside = np.count_nonzero((positions < 0) | (positions >= n_targets))
    if outside:
        raise ValueError(f"{outside} of {len(positions)} relevant positions are outside the {n_targets} targets.")
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
