"""Measuring a ranker: chunked equals whole, bad scores are named, and leaks are counted and can be left out."""

import numpy as np
import pytest
from graphs import build_graph_set
from task_data import make_task

from uwe_jax.data.graph import Edge
from uwe_jax.data.training_hashes import TrainingHashes
from uwe_jax.evaluation import measure as measuring
from uwe_jax.evaluation.leakage import is_in_domain, leakage, without_leaks
from uwe_jax.evaluation.measure import measure, summarise
from uwe_jax.runtime.errors import UserError
from uwe_jax.scoring.ranking_metrics import ranking_metrics, relevant_ranks

METRICS = ("map", "rp@10", "mrr")


def random_task(queries=37, targets=23, seed=0):
    rng = np.random.default_rng(seed)
    labels = [f"target {k}" for k in range(targets)]
    pairs = [(f"query {k}", list(rng.choice(labels, rng.integers(1, 5), replace=False))) for k in range(queries)]
    return make_task("own", "Own", split="all", kinds=("job", "skill"), pairs=pairs, targets=labels, origin="a test")


class Matrix:
    """A ranker whose scores are written down, row by row of the task."""

    name = "matrix"

    def __init__(self, task, scores):
        self._row = {query: scores[k] for k, query in enumerate(task.queries)}
        self.calls = 0

    def index(self, targets):
        def score(queries):
            self.calls += 1
            return np.array([self._row[query] for query in queries])

        return score


def test_chunks_give_the_same_as_the_whole_matrix(monkeypatch, rng):
    task = random_task()
    scores = rng.integers(0, 9, task.relevant.shape).astype(np.float32)  # with many ties
    monkeypatch.setattr(measuring, "_SCORES", 5 * len(task.targets))
    ranker = Matrix(task, scores)
    measured = measure(ranker, task, METRICS)
    assert ranker.calls == 8
    ranks = relevant_ranks(scores, task.relevant.indptr, task.relevant.indices)
    np.testing.assert_array_equal(measured.ranks, ranks)
    for name, values in ranking_metrics(ranks, task.relevant.indptr, METRICS).items():
        np.testing.assert_array_equal(measured.per_query[name], values)
    without = measure(ranker, task, ("mrr",))
    assert list(without.per_query) == ["mrr"]
    np.testing.assert_array_equal(without.average_precision, measured.per_query["map"])


def test_the_summary_is_in_percent_with_intervals_around_the_mean(rng):
    task = random_task()
    measured = measure(Matrix(task, rng.normal(size=task.relevant.shape)), task, METRICS)
    found = summarise(measured, task, samples=200)
    assert found["metrics"]["map"] == pytest.approx(100 * measured.per_query["map"].mean())
    for name in METRICS:
        low, high = found["intervals"][name]
        assert low < found["metrics"][name] < high
    assert sum(each["pairs"] for each in found["long_tail"]) == task.relevant.nnz
    assert summarise(measured, task, samples=0)["intervals"] == {}


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (lambda shape: np.full(shape, np.nan), r"851 of 851 scores are NaN.*first of them for the query of row 0"),
        (lambda shape: np.zeros((shape[0], shape[1] + 1)), r"shape \(37, 24\) for 37 queries and 23 targets"),
        (lambda shape: np.zeros(shape[0]), r"shape \(37,\)"),
        (lambda shape: np.full(shape, "high"), "scores of type <U4"),
        (lambda shape: np.zeros(shape, bool), "scores of type bool"),
    ],
)
def test_scores_that_cannot_be_ranked_are_reported(scores, message):
    task = random_task()

    class Broken:
        name = "broken"

        def index(self, targets):
            return lambda queries: scores((len(queries), len(targets)))

    with pytest.raises(UserError, match=f"broken on Own: .*{message}"):
        measure(Broken(), task, METRICS)


def trained(*edges):
    return TrainingHashes.of(build_graph_set({"job": [Edge("", skill, "", job) for skill, job in edges]}))


TASK = make_task(
    "own",
    "Own",
    split="all",
    kinds=("job", "skill"),
    pairs=[("welder", ["welding", "cutting"]), ("cook", ["frying"]), ("nurse", ["caring"])],
    targets=["welding", "cutting", "frying", "caring", "singing"],
    origin="a test",
)


def test_leakage_counts_and_domain():
    hashes = trained(("Welding", "WELDER"), ("singing", "cook"))
    assert is_in_domain(TASK, hashes)
    found = leakage(TASK, hashes, in_domain=True)
    assert found == {"queries": 2, "targets": 2, "edges": 1, "domain": "in-domain"}
    # Nodes in common without an edge of the task in common are no leak of its answers.
    assert not is_in_domain(TASK, trained(("singing", "cook")))


def test_a_chance_edge_does_not_make_a_task_in_domain():
    pairs = [(f"query {k}", ["welding"]) for k in range(200)]
    task = make_task(
        "own", "Own", split="all", kinds=("job", "skill"), pairs=pairs, targets=["welding", "cutting"], origin="a test"
    )
    assert not is_in_domain(task, trained(("welding", "query 7")))
    assert is_in_domain(task, trained(("welding", "query 7"), ("welding", "query 8")))


def test_queries_that_any_model_was_trained_on_can_be_left_out():
    kept = without_leaks(TASK, [trained(("welding", "welder")), trained(("singing", "cook"))])
    assert kept.queries == ("nurse",)
    assert kept.notes[-1] == "2 of 3 queries left out as trained on"
    assert kept.targets == TASK.targets
    assert without_leaks(TASK, [trained(("flying", "pilot"))]) is TASK
    with pytest.raises(UserError, match="all 3 queries are in the training graphs"):
        without_leaks(TASK, [trained(("a", "welder"), ("a", "cook"), ("a", "nurse"))])
