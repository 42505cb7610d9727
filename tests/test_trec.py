"""BEIR folders, TREC qrels and TREC runs: read, written, and measured as rankings of one's own models are."""

import dataclasses
import json

import numpy as np
import pytest
from task_data import read_task_folder, sources_of

from uwe_jax.commands import evaluate
from uwe_jax.evaluation.measure import measure
from uwe_jax.evaluation.run_file import RunFile
from uwe_jax.evaluation.tasks.beir import write_beir
from uwe_jax.evaluation.tasks.catalogue import choose, load_tasks
from uwe_jax.runtime.errors import UserError

CORPUS = [
    {"_id": "d1", "title": "Weld", "text": "steel pipes"},
    {"_id": "d2", "title": "", "text": "care for patients"},
    {"_id": "d 3", "title": "fry fish"},
    {"_id": "d4", "title": "drive trucks", "text": ""},
]
QUERIES = [
    {"_id": "q1", "text": "welder"},
    {"_id": "q2", "text": "nurse"},
    {"_id": "q3", "text": "cook"},
    {"_id": "q4", "text": "welder"},
]
TEST = "query-id\tcorpus-id\tscore\nq1\td1\t2\nq2\td2\t1\nq2\td4\t-1\nq3\td 3\t0\n"
DEV = "q4\t0\td1\t1\nq4\t0\td 3\t3\n"


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write(folder, test=TEST, dev=DEV, **settings):
    (folder / "qrels").mkdir(parents=True)
    lines(folder / "corpus.jsonl", CORPUS)
    lines(folder / "queries.jsonl", QUERIES)
    (folder / "qrels" / "test.tsv").write_text(test)
    (folder / "qrels" / "dev.tsv").write_text(dev)  # of TREC, as some publishers name them
    if settings:
        (folder / "task.json").write_text(json.dumps(settings))
    return folder


def load(path, split="any", **changes):
    (task,), skipped = load_tasks(choose([str(path)]), sources_of(path, **changes), split)
    assert not skipped
    return task


def message(path, split="any"):
    with pytest.raises(UserError) as raised:
        load(path, split)
    return str(raised.value)


def run(*flags):
    evaluate.main([str(flag) for flag in flags])


def test_a_beir_folder_is_a_task_with_a_split_for_each_of_its_qrels(tmp_path):
    folder = write(tmp_path / "jobs")
    task = load(folder)
    assert (task.name, task.title, task.split) == ("jobs", "jobs", "test")
    assert (task.queries, task.query_ids) == (("welder", "nurse"), ("q1", "q2"))
    assert task.targets == ("Weld steel pipes", "care for patients", "drive trucks", "fry fish")
    assert task.corpus_ids == ("d1", "d2", "d4", "d 3")
    assert task.relevant.toarray().tolist() == [[2, 0, 0, 0], [0, 1, 0, 0]]
    assert task.notes[:2] == (
        "1 judgement below 0 taken as not relevant",
        "1 query without a judgement in test.tsv",
    )
    assert "1 query without a relevant target left out" in task.notes
    validation = load(folder, "validation")
    assert (validation.split, validation.queries) == ("validation", ("welder",))
    assert validation.relevant.toarray().tolist() == [[1, 0, 0, 3]]
    assert load(folder / "qrels" / "dev.tsv").name == "jobs_dev"
    titles = write(tmp_path / "titles", corpus_text="title", title="Jobs", threshold=2)
    assert message(titles) == (
        f"1 broken row in {titles}:\n  titles/corpus.jsonl, line 2: found an empty text for id 'd2'; expected a text\n"
        "Nothing was read. Correct these rows and run again."
    )
    lines(titles / "corpus.jsonl", [{**each, "title": each["title"] or "care"} for each in CORPUS])
    assert load(titles).targets == ("Weld", "care", "drive trucks", "fry fish")
    assert (load(titles).title, load(titles).threshold) == ("Jobs", 2)


def test_missing_splits_name_those_there_are(tmp_path):
    folder = write(tmp_path / "jobs")
    (folder / "qrels" / "test.tsv").unlink()
    assert load(folder).split == "validation"
    specs = choose([str(folder)])
    tasks, (skipped,) = load_tasks(specs, sources_of(folder), "test")
    assert (tasks, skipped.reason) == ([], "Its publisher has no test split, only validation.")
    with pytest.raises(UserError, match="None of 1 requested task can be measured"):
        run("--model", "bm25", "--tasks", folder, "--split", "train", "--out", tmp_path / "out")
    for name in ("gold", "silver"):
        (folder / "qrels" / f"{name}.trec").write_text(DEV)
    (folder / "qrels" / "dev.tsv").unlink()
    _, (skipped,) = load_tasks(choose([str(folder)]), sources_of(folder), "any")
    assert skipped.reason == "Its splits are gold, silver: name the qrels of one with --tasks."
    assert load(folder / "qrels" / "gold.trec").split == "gold"
    (folder / "qrels" / "gold.tsv").write_text(DEV)
    assert "qrels has gold.trec, gold.tsv, silver.trec. Expected one file" in message(folder).replace(
        "gold.tsv, gold.trec", "gold.trec, gold.tsv"
    )
    for path in (folder / "qrels").iterdir():
        path.unlink()
    assert "qrels has nothing of the kind. Expected one file of qrels per split, such as test.tsv" in message(folder)
    (folder / "corpus.jsonl").unlink()
    (folder / "qrels" / "test.tsv").write_text(TEST)
    assert "has no corpus file; it holds qrels, queries.jsonl. Expected one of each: corpus and" in message(folder)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("q1\td9\t1", "jobs/qrels/test.tsv, line 6: found target_id 'd9'; expected an id of the 4 targets"),
        ("q9\td1\t1", "line 6: found query_id 'q9'; expected an id of the 4 queries"),
        ("q1\td1\thigh", "line 6: found grade 'high'; expected a whole number from 0 to 255"),
        ("q1\td1\t0.5", "line 6: found grade '0.5'; expected a whole number"),
        ("q1\td1", "line 6: found 2 fields, the first 'q1'; expected 3 as in the header"),
    ],
)
def test_bad_qrels_are_named_with_their_line(tmp_path, row, expected):
    assert expected in message(write(tmp_path / "jobs", test=f"{TEST}{row}\n"))


def test_bad_trec_qrels_are_named_with_their_line(tmp_path):
    folder = write(tmp_path / "jobs", dev=f"{DEV}\nq4 0 d1\nq4 0 d2 nan\nq4 0 d9 1\n")
    assert message(folder, "validation").splitlines()[1:4] == [
        "  jobs/qrels/dev.tsv, line 4: found 3 fields; expected 4 fields, between tabs or spaces: query iteration "
        "document grade",
        "  jobs/qrels/dev.tsv, line 5: found grade 'nan'; expected a whole number from 0 to 255",
        "  jobs/qrels/dev.tsv, line 6: found target_id 'd9'; expected an id of the 4 targets",
    ]
    for settings, expected in (
        ({"corpus_text": "body"}, "is 'body'; it must be one of 'title and text', 'title', 'text'"),
        ({"corpus_text": 3}, "wrong 'corpus_text'"),
    ):
        (folder / "task.json").write_text(json.dumps(settings))
        assert expected in message(folder)


def test_a_written_task_is_read_as_it_was(tmp_path):
    source = write(tmp_path / "jobs", threshold=2, title="Jobs", query_kind="job")
    lines(
        source / "corpus.jsonl",
        [
            {**each, "names": ["weld", "join"] * (each["_id"] == "d1"), "description": f"{each['_id']} at  work"}
            for each in CORPUS
        ],
    )
    task = load(source, names=True, descriptions=True)
    write_beir(tmp_path / "copy", task)
    copy = load(tmp_path / "copy", names=True, descriptions=True)
    for name in ("title", "split", "query_kind", "target_kind", "queries", "targets", "query_ids", "target_ids"):
        assert getattr(copy, name) == getattr(task, name), name
    assert (copy.threshold, copy.names) == (2, {"Weld steel pipes": ("weld", "join")})
    assert copy.descriptions == task.descriptions
    assert copy.descriptions["Weld steel pipes"] == ("d1 at work",)
    np.testing.assert_array_equal(copy.relevant.toarray(), task.relevant.toarray())
    trec = (tmp_path / "copy" / "test.qrels").read_text()
    assert trec == "q1\t0\td1\t2\nq2\t0\td2\t1\n"
    (tmp_path / "copy" / "qrels" / "test.tsv").unlink()
    (tmp_path / "copy" / "test.qrels").rename(tmp_path / "copy" / "qrels" / "test.qrels")
    np.testing.assert_array_equal(load(tmp_path / "copy").relevant.toarray(), task.relevant.toarray())


def write_own(folder):
    """A folder of many queries, equal ones among them, and targets with ties and joined ones."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    words = ["weld", "steel", "care", "fry", "fish", "drive", "nurse", "cook", "code", "test"]
    texts = [" ".join(rng.choice(words, 3)) for _ in range(60)]
    lines(folder / "queries.jsonl", [{"id": f"q{k}", "text": texts[k % 20]} for k in range(25)])
    lines(folder / "targets.jsonl", [{"id": f"t {k}", "text": text} for k, text in enumerate(texts)])
    pairs = {(int(q), int(t)) for q, t in zip(rng.integers(0, 25, 90), rng.integers(0, 60, 90), strict=True)}
    rows = [{"query_id": f"q{q}", "target_id": f"t {t}", "grade": int(rng.integers(1, 4))} for q, t in sorted(pairs)]
    lines(folder / "relevant.jsonl", rows)
    return folder


def results(out, model):
    return json.loads((out / "results.json").read_text())["models"][model]["results"]["courses"]


def test_a_saved_run_measures_as_its_model(tmp_path, capsys):
    folder, out, again = write_own(tmp_path / "courses"), tmp_path / "out", tmp_path / "again"
    shared = ("--tasks", folder, "--cache_dir", tmp_path, "--bootstrap", 0)
    run("--model", "tfidf", "--model", "random", *shared, "--out", out, "--save_runs", "--run_depth", 0)
    saved = out / "runs" / "tfidf" / "courses.trec"
    first = saved.read_text().splitlines()[0].split("\t")
    assert (first[0][0], first[1], first[3], first[5]) == ("q", "Q0", "1", "tfidf")
    dumped = ("--dump_rankings", 30, "--save-runs", "--run_depth", 0)
    run("--run", saved, "--run", out / "runs" / "random" / "courses.trec", *shared, "--out", again, *dumped)
    for model in ("tfidf", "random"):
        assert results(again, model)["metrics"] == results(out, model)["metrics"]
        assert results(again, model)["long_tail"] == results(out, model)["long_tail"]
        assert "notes" not in results(again, model)
    before, after = (
        [line.split("\t") for line in (folder / "runs" / "tfidf" / "courses.trec").read_text().splitlines()]
        for folder in (out, again)
    )
    assert [(*row[:4], float(row[4])) for row in after] == [(*row[:4], float(row[4])) for row in before]
    entries = [json.loads(line) for line in (again / "rankings" / "tfidf" / "courses.jsonl").read_text().splitlines()]
    assert {entry["query"] for entry in entries} <= set(load(folder).queries)
    # A measured sample of the queries, and a ranking of the best alone.
    run("--model", "tfidf", *shared, "--out", out, "--save_runs", "--run_depth", 7, "--max_queries", 9)
    assert not (out / "runs" / "random").exists()
    assert len(saved.read_text().splitlines()) == 9 * 7
    capsys.readouterr()
    run("--run", saved, *shared, "--out", again)
    notes = results(again, "tfidf")["notes"]
    measured = len(load(folder).queries)
    assert notes == [
        f"7 of {len(load(folder).targets)} targets of a query are ranked; the others come last",
        f"{measured - 9} of {measured} queries not in the run, where all targets tie",
    ]
    assert f"tfidf on courses: {notes[1]}" in capsys.readouterr().err
    assert f"- courses: {'; '.join(notes)}" in (again / "results.md").read_text()
    run("--run", saved, *shared, "--out", again, "--max_queries", 5)
    assert results(again, "tfidf")["notes"][-1].endswith("queries of the run not measured")


def test_targets_that_a_run_lacks_come_last(tmp_path):
    task = load(write(tmp_path / "jobs", threshold=1))
    path = tmp_path / "other.trec"
    path.write_text("q1 Q0 d4 9 0.5 my\nq1 Q0 d1 1 0.25 my\nq1 Q0 d2 2 -inf my\nq2 Q0 d4 1 3e2 my\n")
    ranker = RunFile(path)
    assert (ranker.name, ranker.description) == ("my", "run file other.trec: 4 targets of 2 queries")
    scores = ranker.of_task(task).index(task.targets)(task.query_ids)
    assert scores.tolist() == [[0.25, -np.inf, 0.5, -np.inf], [-np.inf, -np.inf, 300, -np.inf]]
    path.write_text("q1 Q0 d4 1 2 a\nq2 Q0 d4 1 3 b\n")
    assert RunFile(path).name == "other"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("q1 Q0 d1 1 2 x\nq1 Q0 d2 2 nan x\n", "line 2: found score 'nan'; expected a number"),
        ("q1 Q0 d1 1 high x\n", "line 1: found score 'high'"),
        (
            "q1 Q0 d1 1 2 x\nq2 Q0 d1 1 2 x\nq1 Q0 d1 2 1 x\n",
            "line 3: found target 'd1' of query 'q1' again; expected a pair once, as in line 1",
        ),
        ("q1 Q0 d1 1 2\n", "line 1: found 5 fields; expected 6 fields, between tabs or spaces: query Q0 document"),
        ("q1 Q0 d9 1 2 x\n", "line 1: found target 'd9'; expected an id of the 4 targets of jobs"),
        ("w1 Q0 d1 1 2 x\n", "ranks none of the 2 queries of jobs: its ids are such as 'w1', the task's such as 'q1'"),
        ("\n", "is empty. Expected lines of query Q0 document rank score tag"),
        ("q1 Q0 d\xe9 1 2 x\n", "line 1: found byte 0xe9 at position 8; expected UTF-8 text"),
    ],
)
def test_bad_runs_are_reported(tmp_path, text, expected, capsys):
    folder, path = write(tmp_path / "jobs"), tmp_path / "other.trec"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match="failed, so nothing was measured"):
        run("--run", path, "--tasks", folder, "--out", tmp_path / "out")
    assert expected in capsys.readouterr().err


def test_bad_calls_with_runs_are_reported(tmp_path, capsys):
    folder, out = write(tmp_path / "jobs"), tmp_path / "out"
    path = tmp_path / "other.trec"
    path.write_text("q1 Q0 d1 1 2 x\n")
    with pytest.raises(UserError, match=r"--run is a ranking of one task, and --tasks names \d+. Name that task alone"):
        run("--run", path, "--out", out)
    own = out / "runs" / "my" / "jobs.trec"
    own.parent.mkdir(parents=True)
    own.write_text(path.read_text())
    with pytest.raises(
        UserError, match=r"is among the runs of an earlier evaluation in .* Name another folder with --out"
    ):
        run("--run", own, "--tasks", folder, "--out", out)
    with pytest.raises(UserError, match="--run ranks targets as its file says, and not by their texts"):
        run("--run", path, "--tasks", folder, "--target-names", "--out", out)
    with pytest.raises(UserError, match="failed, so nothing was measured"):
        run("--run", tmp_path / "othr.trec", "--tasks", folder, "--out", out)
    assert "is not a file. Did you mean" in capsys.readouterr().err


def test_tasks_are_saved_without_a_model(tmp_path, capsys):
    folder, out = write_own(tmp_path / "courses"), tmp_path / "out"
    run("--save-tasks", "--tasks", folder, "--out", out)
    saved = out / "tasks" / "courses_all"
    assert f"Written to {saved}: courses as a BEIR folder" in capsys.readouterr().err
    assert not (out / "results.json").exists()
    before, after = read_task_folder(folder), load(saved)
    assert (after.queries, after.targets, after.query_ids) == (before.queries, before.targets, before.query_ids)
    np.testing.assert_array_equal(after.relevant.toarray(), before.relevant.toarray())


@pytest.mark.slow
def test_metrics_of_runs_equal_those_of_trec_eval(tmp_path):
    """Full rankings, since trec_eval counts nothing for a target that a run lacks; its nDCG has linear gains."""
    pytrec_eval = pytest.importorskip(
        "pytrec_eval", reason="pytrec_eval is not installed: pip install pytrec-eval-terrier"
    )
    folder, out = write_own(tmp_path / "courses"), tmp_path / "out"
    run("--model", "random", "--tasks", folder, "--out", out, "--save_runs", "--run_depth", 0, "--save_tasks")
    with (out / "runs" / "random" / "courses.trec").open() as file:
        ranked = {}
        for line in file:
            query, _, target, _, score, _ = line.split("\t")
            ranked.setdefault(query, {})[target] = float(score)
    judged = {}
    for line in (out / "tasks" / "courses_all" / "all.qrels").read_text().splitlines():
        query, _, target, grade = line.split("\t")
        judged.setdefault(query, {})[target] = 2 ** int(grade) - 1
    evaluated = pytrec_eval.RelevanceEvaluator(judged, {"map", "ndcg", "ndcg_cut.10", "recip_rank"}).evaluate(ranked)
    task = load(out / "tasks" / "courses_all")
    ranker = RunFile(out / "runs" / "random" / "courses.trec").of_task(task)
    found = measure(ranker, dataclasses.replace(task, queries=task.query_ids), ("map", "ndcg", "ndcg@10", "mrr"))
    for ours, theirs in (("map", "map"), ("ndcg", "ndcg"), ("ndcg@10", "ndcg_cut_10"), ("mrr", "recip_rank")):
        expected = [evaluated[query][theirs] for query in task.query_ids]
        np.testing.assert_allclose(found.per_query[ours], expected, rtol=1e-9)
