"""Ranks and metrics against their definitions, written out in loops over a full ranking."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from uwe_jax.runtime.errors import UserError
from uwe_jax.scoring.ranking_metrics import (
    DEFAULT_METRICS,
    check_metric_names,
    precisions,
    ranking_metrics,
    relevant_ranks,
)

NAMES = (*DEFAULT_METRICS, "ndcg", "rp@1", "rp@3", "ndcg@1", "ndcg@3", "ndcg@1000", "recall@3", "hit@1", "hit@3")


def flat(relevant):
    """Offsets and positions of lists of relevant targets."""
    return np.cumsum([0, *map(len, relevant)]), np.concatenate(relevant).astype(np.int64)


def loop_ranks(row, positions):
    order = sorted(range(len(row)), key=lambda target: (-row[target], target))
    return [order.index(target) + 1 for target in positions]


def loop_metric(name, ranks, n):
    """One metric of one query by going down its ranking; None stands for no cut-off."""
    base, _, cut = name.partition("@")
    k, relevant = int(cut or n), len(ranks)
    found, precision_sum, gain, first = 0, 0.0, 0.0, None
    for rank in range(1, n + 1):
        if rank in ranks:
            first = first or rank
            precision_sum += (sum(r <= rank for r in ranks)) / rank
            if rank <= k:
                found += 1
                gain += 1 / math.log2(rank + 1)
    return {
        "map": precision_sum / relevant,
        "mrr": 1 / first,
        "rp": found / min(k, relevant),
        "recall": found / relevant,
        "hit": float(found > 0),
        "ndcg": gain / sum(1 / math.log2(i + 1) for i in range(1, min(k, relevant) + 1)),
    }[base]


def draw_task(rng, n, q=6, most=None, ties=False):
    scores = rng.integers(0, 4, (q, n)).astype(np.float32) if ties else rng.normal(size=(q, n))
    return scores, [rng.permutation(n)[: rng.integers(1, (most or n) + 1)] for _ in range(q)]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("n", "most"), [(1, 1), (7, 7), (60, 40), (3000, 3), (3000, 30)])
def test_ranks_equal_a_full_ranking(rng, n, most, ties):
    """The few relevant targets of a query are counted, many are looked up in the sorted scores."""
    for dtype in (np.float32, np.float64):
        scores, relevant = draw_task(rng, n, most=most, ties=ties)
        offsets, positions = flat(relevant)
        expected = np.concatenate([loop_ranks(*query) for query in zip(scores.astype(dtype), relevant, strict=True)])
        ranks = relevant_ranks(scores.astype(dtype), offsets, positions)
        assert ranks.dtype == np.int64
        np.testing.assert_array_equal(ranks, expected)


@pytest.mark.parametrize("relevant", [[3], [5, 0, 3, 2, 1, 4, 6]])
def test_infinite_scores_rank_first_and_last(relevant):
    scores = np.array([[-np.inf, 1.0, np.inf, -np.inf, 0.0, -0.0, np.inf]])
    place = {2: 1, 6: 2, 1: 3, 4: 4, 5: 5, 0: 6, 3: 7}
    ranks = relevant_ranks(scores, *flat([relevant]))
    assert ranks.tolist() == [place[target] for target in relevant]


def test_chunks_of_queries_rank_as_the_whole(rng):
    scores, relevant = draw_task(rng, 30, q=9)
    whole = relevant_ranks(scores, *flat(relevant))
    parts = [relevant_ranks(scores[k : k + 2], *flat(relevant[k : k + 2])) for k in range(0, 9, 2)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(relevant_ranks(np.asfortranarray(scores), *flat(relevant)), whole)


def test_metrics_equal_a_walk_down_the_ranking(rng):
    for n in (1, 5, 50):
        scores, relevant = draw_task(rng, n, q=12)
        offsets, positions = flat(relevant)
        ranks = relevant_ranks(scores, offsets, positions)
        metrics = ranking_metrics(ranks, offsets, NAMES)
        assert tuple(metrics) == NAMES
        by_query = [set(part.tolist()) for part in np.split(ranks, offsets[1:-1])]
        for name, values in metrics.items():
            assert values.dtype == np.float64
            np.testing.assert_allclose(values, [loop_metric(name, r, n) for r in by_query], rtol=1e-12, err_msg=name)


def test_precisions_are_aligned_and_their_mean_is_average_precision(rng):
    scores, relevant = draw_task(rng, 40)
    offsets, positions = flat(relevant)
    ranks = relevant_ranks(scores, offsets, positions)
    found = precisions(ranks, offsets)
    for k, part in enumerate(np.split(ranks, offsets[1:-1])):
        expected = [np.count_nonzero(part <= rank) / rank for rank in part]
        np.testing.assert_allclose(found[offsets[k] : offsets[k + 1]], expected)
    averages = [part.mean() for part in np.split(found, offsets[1:-1])]
    np.testing.assert_allclose(ranking_metrics(ranks, offsets, ["map"])["map"], averages)


def test_metrics_of_no_queries_are_empty():
    nothing = np.zeros(0, np.int64)
    ranks = relevant_ranks(np.zeros((0, 4)), np.zeros(1, np.int64), nothing)
    assert {len(values) for values in ranking_metrics(ranks, np.zeros(1, np.int64), NAMES).values()} == {0}
    assert precisions(ranks, np.zeros(1, np.int64)).shape == (0,)


def test_metrics_by_hand():
    """Ranks 1, 3 and 20 of 3 relevant, and 12 relevant of which the first ten lead."""
    ranks = np.concatenate([[20, 1, 3], np.arange(1, 11), [50, 60]])
    metrics = ranking_metrics(ranks, np.array([0, 3, 15]))
    np.testing.assert_allclose(metrics["map"], [(1 + 2 / 3 + 3 / 20) / 3, (10 + 11 / 50 + 12 / 60) / 12])
    np.testing.assert_allclose(metrics["rp@10"], [2 / 3, 1])
    np.testing.assert_allclose(metrics["recall@10"], [2 / 3, 10 / 12])
    np.testing.assert_allclose(metrics["ndcg@10"], [(1 + 1 / 2) / (1 + 1 / math.log2(3) + 1 / 2), 1])
    np.testing.assert_allclose(metrics["mrr"], [1, 1])


@st.composite
def tasks(draw, unique=False):
    """Scores [q, n] and the relevant targets of each query."""
    q, n = draw(st.integers(1, 3)), draw(st.integers(1, 15))
    if unique:
        scores = np.array([draw(st.permutations(range(n))) for _ in range(q)], np.float64)
    else:
        values = st.floats(-2, 2, width=32) | st.sampled_from([np.inf, -np.inf, 0.0])
        scores = draw(hnp.arrays(np.float32, (q, n), elements=values))
    return scores, [draw(st.lists(st.integers(0, n - 1), min_size=1, unique=True)) for _ in range(q)]


def measure(scores, relevant):
    offsets, positions = flat(relevant)
    return ranking_metrics(relevant_ranks(scores, offsets, positions), offsets, NAMES)


@settings(max_examples=50)
@given(tasks())
def test_metrics_are_fractions(task):
    for name, values in measure(*task).items():
        assert ((values >= 0) & (values <= 1)).all(), name


@settings(max_examples=50)
@given(tasks(unique=True), st.randoms(use_true_random=False))
def test_the_order_of_targets_does_not_matter_without_ties(task, random):
    scores, relevant = task
    moved = list(range(scores.shape[1]))
    random.shuffle(moved)
    place = np.argsort(moved)
    before, after = measure(scores, relevant), measure(scores[:, moved], [place[positions] for positions in relevant])
    for name in NAMES:
        np.testing.assert_array_equal(before[name], after[name], err_msg=name)


@settings(max_examples=50)
@given(tasks(), st.data())
def test_raising_a_relevant_target_lowers_no_metric(task, data):
    scores, relevant = task
    query = data.draw(st.integers(0, len(relevant) - 1))
    target = data.draw(st.sampled_from(relevant[query]))
    raised = scores.copy()
    raised[query, target] = data.draw(st.floats(float(scores[query, target]), allow_nan=False, width=32))
    before, after = measure(scores, relevant), measure(raised, relevant)
    for name in NAMES:
        assert (after[name] >= before[name]).all(), name


def test_a_perfect_ranking_has_exactly_one():
    metrics = ranking_metrics(np.arange(300, 0, -1), np.array([0, 300]), NAMES)
    assert {name: values.item() for name, values in metrics.items() if "recall" not in name} == {
        name: 1.0 for name in NAMES if "recall" not in name
    }


@pytest.mark.parametrize(
    ("scores", "offsets", "positions", "said"),
    [
        ([[np.nan, 1.0], [np.nan, np.nan], [0.0, 1.0]], [0, 1, 2, 3], [0, 0, 0], "3 of 6 scores, in 2 of 3 queries"),
        ([[0.0, 1.0], [0.0, 1.0]], [0, 0, 1], [0], "1 of 2 queries have no relevant target"),
    ],
)
def test_nan_scores_and_queries_without_targets_are_refused(scores, offsets, positions, said):
    with pytest.raises(ValueError, match=said):
        relevant_ranks(np.array(scores), np.array(offsets), np.array(positions))


@pytest.mark.parametrize(
    "name", ["map@10", "rp@0", "rp", "recall", "hit", "ndcg@", "ndcg@-1", "rp@010", "rp@1.5", "MAP", ""]
)
def test_unknown_metrics_are_refused_with_a_list_of_metrics(name):
    with pytest.raises(
        UserError, match=f"Unknown metric: '{name}'. Available are map, mrr, ndcg, and .* rp@k, ndcg@k, recall@k"
    ):
        check_metric_names(["map", name])
    with pytest.raises(UserError, match="Unknown metric"):
        ranking_metrics(np.array([1]), np.array([0, 1]), [name])


def test_an_empty_list_of_metrics_is_refused():
    with pytest.raises(UserError, match="No metric is named"):
        check_metric_names([])
