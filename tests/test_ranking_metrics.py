"""Ranking metrics against their definitions, written out over a full argsort."""

import numpy as np
import pytest

from uwe_jax.base.ranking_metrics import relevant_ranks, score_rankings


def by_argsort(scores, relevant):
    order = np.lexsort((np.arange(len(scores)), -scores))
    return np.sort(np.array([int(np.flatnonzero(order == target)[0]) + 1 for target in relevant]))


@pytest.mark.parametrize("ties", [False, True])
def test_ranks_equal_an_argsort(rng, ties):
    for _ in range(50):
        n = int(rng.integers(1, 40))
        scores = rng.integers(0, 5, n).astype(np.float32) if ties else rng.normal(size=n)
        relevant = rng.permutation(n)[: rng.integers(1, n + 1)]
        np.testing.assert_array_equal(relevant_ranks(scores, relevant), by_argsort(scores, relevant))


def test_metrics_by_hand():
    scores = np.array([[0.9, 0.8, 0.7, 0.6], [0.1, 0.2, 0.3, 0.4]])
    metrics = score_rankings(scores, [np.array([0, 2]), np.array([0])])
    np.testing.assert_allclose(metrics["map"], [(1 + 2 / 3) / 2, 1 / 4])
    np.testing.assert_allclose(metrics["mrr"], [1.0, 0.25])
    np.testing.assert_allclose(metrics["rp@10"], [1.0, 1.0])


def test_rp_at_ten_divides_by_the_smaller_of_ten_and_the_relevant():
    scores = -np.arange(40, dtype=np.float64)[None, :]
    many = score_rankings(scores, [np.arange(5, 25)])
    np.testing.assert_allclose(many["rp@10"], [5 / 10])
    few = score_rankings(scores, [np.array([1, 30])])
    np.testing.assert_allclose(few["rp@10"], [1 / 2])


def test_nan_scores_and_empty_relevant_sets_are_refused():
    with pytest.raises(ValueError, match="1 of 2 scores are NaN"):
        score_rankings(np.array([[np.nan, 1.0]]), [np.array([0])])
    with pytest.raises(ValueError, match="no relevant target"):
        score_rankings(np.array([[0.0, 1.0]]), [np.array([], int)])
