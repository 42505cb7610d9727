"""Bootstrap intervals and the long tail against their definitions, written out in loops."""

import numpy as np
import pytest

from uwe_jax.scoring.statistics import bootstrap_interval, long_tail, macro_difference, paired_bootstrap


def loop_interval(values, samples, level, seed):
    """The definition: the mean of every resample, drawn one query at a time from the same generator."""
    rng = np.random.default_rng(seed)
    means = []
    for _ in range(samples):
        drawn = rng.integers(0, len(values), len(values))
        means.append(sum(values[k] for k in drawn) / len(values))
    return np.percentile(means, [50 * (1 - level), 50 * (1 + level)])


@pytest.mark.parametrize("level", [0.95, 0.5])
def test_interval_equals_resampling_in_a_loop(rng, level):
    values = rng.random(40)
    found = bootstrap_interval(values, samples=60, level=level, seed=3)
    np.testing.assert_allclose(found, loop_interval(values, 60, level, 3), rtol=1e-12)
    assert found != bootstrap_interval(values, samples=60, level=level, seed=4)
    assert found == bootstrap_interval(values, samples=60, level=level, seed=3)


def test_several_metrics_share_the_resamples(rng):
    values = rng.random((50, 3)).astype(np.float32)
    together = bootstrap_interval(values, samples=80)
    assert together.shape == (3, 2)
    assert together.dtype == np.float64
    for column, interval in zip(values.T, together, strict=True):
        np.testing.assert_allclose(interval, bootstrap_interval(column, samples=80), rtol=1e-12)


def test_interval_has_the_width_of_the_standard_error(rng):
    values = rng.normal(2.0, 3.0, 2000)
    error = values.std() / np.sqrt(2000)
    lo, hi = bootstrap_interval(values, samples=2000)
    np.testing.assert_allclose((lo, hi), values.mean() + 1.96 * error * np.array([-1, 1]), atol=0.15 * error)


def test_a_macro_difference_draws_a_query_with_all_its_rankings(rng):
    a, b = rng.random(40), rng.random(40)
    names = [f"skill {k}" for k in range(40)]
    alone = macro_difference([(a, b, names)])
    np.testing.assert_allclose(alone[:3], paired_bootstrap(a, b), rtol=1e-12)
    assert alone[3] == 40
    # The same queries twice tell no more than once.
    np.testing.assert_allclose(macro_difference([(a, b, names)] * 2), alone, rtol=1e-12)

    c, d = rng.random(10), rng.random(10)
    mixed = [(a, b, names), (c, d, [*names[:5], *(f"job {k}" for k in range(5))])]
    difference, lo, hi, queries = macro_difference(mixed)
    assert difference == pytest.approx(((a - b).mean() + (c - d).mean()) / 2)
    assert queries == 45
    # The variance of the macro-average, with what the five shared queries have in common, by its definition.
    one, two = (a - b - (a - b).mean()) / 80, (c - d - (c - d).mean()) / 20
    shares = np.concatenate([one[:5] + two[:5], one[5:], two[5:]])
    assert (hi - lo) / (2 * 1.96) == pytest.approx(np.sqrt((shares**2).sum()), rel=0.1)


def test_values_without_spread_have_no_width():
    assert bootstrap_interval(np.array([0.3])) == (0.3, 0.3)
    lo, hi = bootstrap_interval(np.full(77, 0.1))
    assert lo == hi == pytest.approx(0.1, rel=1e-15)


def test_paired_bootstrap_is_the_bootstrap_of_the_difference(rng):
    hard = rng.random(200)
    a, b = hard + 0.01 + 0.001 * rng.normal(size=200), hard
    difference, lo, hi = paired_bootstrap(a, b, samples=200)
    assert difference == pytest.approx((a - b).mean())
    assert (lo, hi) == bootstrap_interval(a - b, samples=200)
    # What both models share is far wider than what tells them apart.
    assert 0 < lo < difference < hi < 0.02
    shared_lo, shared_hi = bootstrap_interval(a, samples=200)
    assert hi - lo < 0.1 * (shared_hi - shared_lo)
    mirrored = paired_bootstrap(b, a, samples=200)
    np.testing.assert_allclose(mirrored, (-difference, -hi, -lo), rtol=1e-12)


def test_paired_bootstrap_leaves_out_queries_without_a_value(rng):
    a, b = rng.random(20), rng.random(20)
    with_gaps = np.insert(a, 7, np.nan), np.insert(b, 7, np.nan)
    assert paired_bootstrap(*with_gaps, samples=50) == paired_bootstrap(a, b, samples=50)


def test_long_tail_equals_a_loop(rng):
    edges = {"1": (1, 1), "2-5": (2, 5), "6-20": (6, 20), "21-100": (21, 100), "101+": (101, 10**9)}
    asked = np.array([0, 1, 1, 2, 5, 6, 20, 21, 100, 101, 150, 0])
    positions = rng.permutation(np.repeat(np.arange(len(asked)), asked))
    precisions = rng.random(len(positions))
    rows = long_tail(precisions, positions, len(asked))
    assert [row["relevant_for"] for row in rows] == list(edges)
    for row in rows:
        low, high = edges[row["relevant_for"]]
        members = [t for t, count in enumerate(asked) if low <= count <= high]
        pairs = [p for p, t in zip(precisions, positions, strict=True) if t in members]
        assert (row["targets"], row["pairs"]) == (len(members), len(pairs))
        assert row["map"] == pytest.approx(np.mean(pairs))
    assert sum(row["pairs"] for row in rows) == len(positions)


def test_long_tail_leaves_empty_bins_out():
    assert long_tail(np.zeros(0), np.zeros(0, np.int64), 5) == []
    rows = long_tail(np.array([1.0, 0.5, 0.5]), np.array([2, 2, 2]), 5)
    assert rows == [{"relevant_for": "2-5", "targets": 1, "pairs": 3, "map": pytest.approx(2 / 3)}]


def test_rounding_takes_no_interval_outside_its_values():
    for queries in range(50, 90):
        values = np.zeros((queries, 1))
        values[3] = 1 / 3 + queries / 1000
        assert bootstrap_interval(values, samples=20)[0, 0] >= 0.0
