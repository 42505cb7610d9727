"""Graded relevance, from a task folder to the reports, and the same figures as the toolkit of the field."""

import csv
import json
import math

import numpy as np
import pytest
from task_data import read_task_folder

from uwe_jax.commands import evaluate
from uwe_jax.evaluation.measure import measure, summarise
from uwe_jax.runtime.errors import UserError
from uwe_jax.scoring.ranking_metrics import DEFAULT_METRICS, ranking_metrics, relevant_ranks

METRICS = (*DEFAULT_METRICS, "ndcg", "ndcg@1", "ndcg@3", "ndcg@1000", "rp@3", "recall@3", "hit@1")
TARGETS = ["write code", "engineer software", "care for patients", "write code ", "fry fish"]
JUDGED = [("q0", "t0", 1), ("q0", "t1", 3), ("q1", "t2", 2), ("q2", "t4", 1), ("q2", "t0", 0)]


def write_table(path, header, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def write_task(folder, judged=JUDGED, targets=TARGETS, queries=("code software", "nurse", "cook", "sleep"), **settings):
    folder.mkdir(exist_ok=True)
    write_table(folder / "queries.csv", ("id", "text"), [(f"q{k}", text) for k, text in enumerate(queries)])
    write_table(folder / "targets.csv", ("id", "text"), [(f"t{k}", text) for k, text in enumerate(targets)])
    write_table(folder / "relevant.csv", ("query_id", "target_id", "grade"), judged)
    (folder / "task.json").write_text(json.dumps(settings))
    return folder


def draw(rng, n, q=25, highest=4):
    """Scores without ties, relevant targets of each query, and their grades."""
    scores = rng.permuted(np.tile(np.arange(n, dtype=np.float32), (q, 1)), axis=1)
    relevant = [rng.permutation(n)[: rng.integers(1, n + 1)] for _ in range(q)]
    return scores, relevant, [rng.integers(1, highest + 1, len(each)) for each in relevant]


def flat(relevant):
    return np.cumsum([0, *map(len, relevant)]), np.concatenate(relevant)


def test_graded_metrics_equal_a_walk_down_the_ranking(rng):
    for n in (1, 6, 40):
        scores, relevant, grades = draw(rng, n)
        offsets, positions = flat(relevant)
        ranks = relevant_ranks(scores, offsets, positions)
        found = ranking_metrics(ranks, offsets, METRICS, np.concatenate(grades), threshold=3)
        for query, (row, places, levels) in enumerate(zip(scores, relevant, grades, strict=True)):
            grade = dict(zip(places.tolist(), levels.tolist(), strict=True))
            gains = [2 ** grade.get(target, 0) - 1 for target in np.argsort(-row).tolist()]
            for k in (1, 3, 10, n):
                gain, best = (
                    sum(each / math.log2(rank + 1) for rank, each in enumerate(order[:k], 1))
                    for order in (gains, sorted(gains, reverse=True))
                )
                name = "ndcg" if k == n else f"ndcg@{k}"
                if name in found:
                    assert found[name][query] == pytest.approx(gain / best, rel=1e-12)
            hits = [rank for rank, each in enumerate(gains, 1) if each >= 2**3 - 1]
            if not hits:
                assert all(np.isnan(found[name][query]) for name in METRICS if "ndcg" not in name)
                continue
            assert found["map"][query] == pytest.approx(np.mean([k / rank for k, rank in enumerate(hits, 1)]))
            assert found["mrr"][query] == 1 / hits[0]
            assert found["recall@3"][query] == sum(rank <= 3 for rank in hits) / len(hits)


def test_a_ranking_by_grade_has_exactly_one():
    grades = np.array([1, 4, 2, 4, 3, 1])
    ranks = np.array([5, 1, 4, 2, 3, 6])
    assert ranking_metrics(ranks, np.array([0, 6]), ["ndcg", "ndcg@4"], grades) == {"ndcg": 1.0, "ndcg@4": 1.0}


def test_a_task_folder_with_grades(tmp_path):
    judged = [*JUDGED, ("q0", "t1", 1), ("q1", "t3", 0), ("q1", "t0", 2), ("q0", "t3", 4)]
    task = read_task_folder(write_task(tmp_path / "courses", judged, threshold=2))
    assert task.relevant.dtype == np.uint8
    assert task.targets == ("care for patients", "engineer software", "fry fish", "write code")
    # Of the equal targets t0 and t3 the first one of the corpus counts; of the rows of a pair the first one.
    assert task.relevant.toarray().tolist() == [[0, 3, 0, 1], [2, 0, 0, 2], [0, 0, 1, 0]]
    assert (task.query_ids, task.corpus_ids, task.threshold) == (("q0", "q1", "q2"), ("t2", "t1", "t4", "t0"), 2)
    assert task.notes == (
        "1 equal target joined",
        "1 query without a relevant target left out",
        "3 repeated judgements left out, the first one counts",
        "1 judgement that a target is not relevant",
        "graded relevance: 2 of grade 1, 2 of grade 2, 1 of grade 3; binary metrics count grades from 2 on",
        "1 query without a target of grade 2, which binary metrics leave out",
    )
    assert task.sample(2).relevant.dtype == np.uint8
    assert task.sample(2).query_ids == tuple(
        task.query_ids[k] for k in (0, 1, 2) if task.queries[k] in task.sample(2).queries
    )
    binary = read_task_folder(write_task(tmp_path / "ones", [(q, t, min(grade, 1)) for q, t, grade in JUDGED]))
    assert binary.grades is None
    assert binary.relevant.toarray().tolist() == [[0, 1, 0, 1], [1, 0, 0, 0], [0, 0, 1, 0]]


@pytest.mark.parametrize("grade", ["high", "-1", "nan", "inf", "1.5", "256", ""])
def test_a_grade_that_is_none_is_named_with_its_line(tmp_path, grade):
    folder = write_task(tmp_path / "courses", [*JUDGED, ("q0", "t2", grade)])
    with pytest.raises(
        UserError, match=rf"relevant.csv, line 7: found grade '{grade}'; expected a whole number from 0"
    ):
        read_task_folder(folder)


def test_bad_thresholds_and_mixed_rows(tmp_path):
    for threshold in (0, "2", 1.5, True, 256):
        with pytest.raises(UserError, match=r"wrong 'threshold'. Expected .* threshold, a whole number from 1 to 255"):
            read_task_folder(write_task(tmp_path / "courses", threshold=threshold))
    with pytest.raises(
        UserError, match=r"a threshold of grade 4, and its highest grade is 3: .* threshold from 1 to 3"
    ):
        read_task_folder(write_task(tmp_path / "courses", threshold=4))
    folder = write_task(tmp_path / "mixed")
    (folder / "relevant.csv").unlink()
    rows = [{"query_id": "q0", "target_id": "t0", "grade": 2}, {"query_id": "q1", "target_id": "t2"}]
    (folder / "relevant.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(UserError, match=r"relevant.jsonl, line 2: found no grade; expected a grade in all rows or in"):
        read_task_folder(folder)


class Fixed:
    """A ranker whose scores are written down by the texts."""

    name = "fixed"

    def __init__(self, scores):
        self._scores = scores

    def index(self, targets):
        return lambda queries: np.array([[self._scores[query, target] for target in targets] for query in queries])


def test_binary_metrics_leave_out_queries_below_the_threshold(tmp_path, rng):
    task = read_task_folder(write_task(tmp_path / "courses", threshold=2))
    scores = {(query, target): rng.random() for query in task.queries for target in task.targets}
    measured = measure(Fixed(scores), task, ("map", "ndcg@1"))
    assert list(measured.per_query) == ["map", "ndcg@1", "ndcg"]
    assert np.isnan(measured.average_precision).tolist() == [False, False, True]
    found = summarise(measured, task, 50)
    assert found["metrics"]["map"] == pytest.approx(100 * measured.average_precision[:2].mean())
    assert found["metrics"]["ndcg"] == pytest.approx(100 * measured.per_query["ndcg"].mean())
    assert list(found["intervals"]) == ["map", "ndcg@1", "ndcg"]
    assert found["intervals"]["map"][0] <= found["metrics"]["map"] <= found["intervals"]["map"][1]
    assert sum(each["pairs"] for each in found["long_tail"]) == 2
    with pytest.raises(UserError, match="none of the 1 measured queries has a target of grade 2, which binary metrics"):
        measure(Fixed(scores), task.select(np.array([2]), "one"), ("map",))


def test_the_reports_show_ndcg_and_grades(tmp_path, capsys):
    folder = write_task(tmp_path / "courses", threshold=2)
    out = tmp_path / "out"
    flags = ("--tasks", folder, "--out", out, "--cache_dir", tmp_path, "--dump_rankings", 5)
    evaluate.main([str(flag) for flag in ("--model", "bm25", "--model", "random", *flags)])
    printed = capsys.readouterr()
    assert "bm25 on courses (3 queries, 4 targets): nDCG 83.3" in printed.err
    assert "  nDCG" in printed.out
    results = json.loads((out / "results.json").read_text())
    assert results["tasks"]["courses"]["threshold"] == 2
    assert list(results["models"]["random"]["results"]["courses"]["difference"]) == ["to", "map", "ndcg"]
    page = (out / "results.md").read_text()
    assert "## Graded relevance\n\nnDCG / MAP / RP@10" in page
    assert "## Other target spaces" not in page
    assert "| courses, nDCG |" in page
    entries = [json.loads(line) for line in (out / "rankings" / "random" / "courses.jsonl").read_text().splitlines()]
    values = [entry["ndcg"] for entry in entries]
    assert values == sorted(values)
    (low,) = [entry for entry in entries if entry["query"] == "cook"]
    assert low["average_precision"] is None
    assert [each["grade"] for each in low["relevant"]] == [1]
    assert sorted(each["grade"] for each in entries[0]["top"])[0] == 0
    page = (out / "rankings" / "random" / "courses.md").read_text()
    assert "queries by nDCG, against 4 targets" in page
    assert "| rank | score | grade |" in page


def toolkit(name):
    return pytest.importorskip(name, reason="workrb is not installed: pip install '.[workrb]'")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of what the toolkit imports
def test_metrics_equal_the_published_toolkit(rng):
    theirs = toolkit("workrb.metrics.ranking")
    for n in (5, 40, 300):
        scores, relevant, grades = draw(rng, n)
        offsets, positions = flat(relevant)
        ranks = relevant_ranks(scores, offsets, positions)
        lists = [each.tolist() for each in relevant]
        expected = theirs.calculate_ranking_metrics(scores, lists, METRICS)
        for name, values in ranking_metrics(ranks, offsets, METRICS).items():
            assert values.mean() == pytest.approx(expected[name], abs=1e-9), name
        for threshold in (1, 2, 4):
            expected = theirs.calculate_ranking_metrics(
                scores, lists, METRICS, [each.tolist() for each in grades], float(threshold)
            )
            found = ranking_metrics(ranks, offsets, METRICS, np.concatenate(grades), threshold)
            for name, values in found.items():
                assert np.nanmean(values) == pytest.approx(expected[name], abs=1e-9), name


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_tasks_equal_those_of_the_toolkit(rng, tmp_path):
    """Repeated targets, repeated judgements, those of grade 0, and queries without a relevant target."""
    ranking = toolkit("workrb.metrics.ranking")
    dataset = toolkit("workrb.tasks.abstract.ranking_base").RankingDataset
    for seed in range(5):
        targets = [f"target {k}" for k in rng.integers(0, 30, 45)]
        queries = [f"query {k}" for k in range(20)]
        judged = [rng.integers(0, 45, rng.integers(0, 12)).tolist() for _ in queries]
        binary = seed == 0
        grades = [([1] * len(each) if binary else rng.integers(0, 4, len(each)).tolist()) for each in judged]
        rows = [
            (f"q{q}", f"t{t}", grade) for q, each in enumerate(judged) for t, grade in zip(each, grades[q], strict=True)
        ]
        task = read_task_folder(write_task(tmp_path / f"task{seed}", rows, targets, queries, threshold=2 - binary))
        values = {(query, target): rng.random() for query in queries for target in targets}
        found = summarise(measure(Fixed(values), task, METRICS), task, 0)["metrics"]
        theirs = dataset(queries, judged, targets, "en", target_relevance=None if binary else grades)
        scores = Fixed(values).index(theirs.target_space)(theirs.query_texts)
        expected = ranking.calculate_ranking_metrics(scores, theirs.target_indices, METRICS, theirs.target_relevance, 2)
        for name in METRICS:
            assert found[name] == pytest.approx(100 * expected[name], abs=1e-7), name
