"""The evaluate command from its flags to its files, on a task of one's own; and what it answers to bad input."""

import copy
import csv
import functools
import gc
import json
import logging
import operator
import os
import re
import weakref

import numpy as np
import pytest
from every_line import at_every_line
from graphs import build_graph_set
from tiny_encoder import write_tiny_encoder

from uwe_jax.commands import evaluate
from uwe_jax.data.graph import Edge
from uwe_jax.data.training_hashes import TrainingHashes
from uwe_jax.evaluation import results_folder
from uwe_jax.evaluation import run as evaluation_run
from uwe_jax.evaluation.join import read_results
from uwe_jax.models.families.registry import FAMILIES
from uwe_jax.runtime.command import answer_errors
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.locks import exclusive
from uwe_jax.runtime.logging_setup import shown

SKILLS = ("write code", "care for patients", "engineer software", "nurse care", "code")
QUERIES = {"software engineer": (0, 2, 4), "nurse": (1, 3), "patients": (1,), "code for care": (4, 3)}


def write_table(path, header, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


@pytest.fixture
def task(tmp_path):
    folder = tmp_path / "mytask"
    folder.mkdir()
    write_table(folder / "queries.csv", ("id", "text"), [(f"q{k}", text) for k, text in enumerate(QUERIES)])
    write_table(folder / "targets.csv", ("id", "text"), [(f"t{k}", text) for k, text in enumerate(SKILLS)])
    pairs = [(f"q{q}", f"t{y}") for q, relevant in enumerate(QUERIES.values()) for y in relevant]
    write_table(folder / "relevant.csv", ("query_id", "target_id"), pairs)
    return folder


def read(folder):
    return json.loads((folder / "results.json").read_text())


def run(*flags):
    """Runs the command in this process; returns its exit status."""
    try:
        answer_errors(lambda: evaluate.main([str(flag) for flag in flags]))
    except SystemExit as stop:
        return stop.code
    return 0


@pytest.fixture
def flags(task, tmp_path):
    return ("--tasks", task, "--out", tmp_path / "out", "--cache_dir", tmp_path / "cache", "--offline")


def test_models_side_by_side(flags, tmp_path, capsys):
    encoder = tmp_path / "encoder"
    write_tiny_encoder(encoder, width=16, layers=1)
    models = ("random", "bm25", "tfidf", encoder, f"{encoder}:soft")
    assert run(*(part for model in models for part in ("--model", model)), *flags) == 0
    printed = capsys.readouterr()
    assert printed.err.count(" on mytask (4 queries, 5 targets): MAP ") == 5
    assert "results.json, results.md, results.png" in printed.out
    assert f"Next: read {tmp_path / 'out' / 'results.md'}, which" in printed.out
    results = read(tmp_path / "out")
    assert results["tasks"]["mytask"]["edges"] == 8
    assert list(results["models"]) == ["random", "bm25", "tfidf", "encoder mean_pool", "encoder soft"]
    for model in results["models"].values():
        found = model["results"]["mytask"]
        assert 0 < found["metrics"]["map"] <= 100
        assert found["intervals"]["map"][0] <= found["metrics"]["map"] <= found["intervals"]["map"][1]
        assert found["leakage"] is None
    # Words in common make a lexical ranker better than chance.
    scored = {name: model["results"]["mytask"]["metrics"]["map"] for name, model in results["models"].items()}
    assert scored["bm25"] > scored["random"]
    assert (tmp_path / "out" / "results.png").read_bytes()[:4] == b"\x89PNG"
    assert "mytask" in (tmp_path / "out" / "results.md").read_text()


@pytest.mark.thorough
def test_an_encoder_of_every_family_is_evaluated(flags, tmp_path):
    encoders = [write_tiny_encoder(tmp_path / name, name, width=16) for name in FAMILIES]
    models = [f"{encoder}:soft" for encoder in encoders]
    assert run(*(part for model in models for part in ("--model", model)), "--metrics=map", *flags) == 0
    found = read(tmp_path / "out")["models"]
    assert list(found) == [f"{name} soft" for name in FAMILIES]
    assert all(0 < model["results"]["mytask"]["metrics"]["map"] <= 100 for model in found.values())


def test_texts_that_a_model_truncates_are_counted(flags, tmp_path, capsys):
    encoder = write_tiny_encoder(tmp_path / "encoder", width=16, layers=1)
    assert run("--model", encoder, "--model", "bm25", *flags, "--max_tokens", "4") == 0
    err = capsys.readouterr().err
    notes = [f"1 of {total} is truncated at 4 tokens, the longest has 5" for total in ("4 queries", "5 targets")]
    assert [f"encoder mean_pool on mytask: {note}" in err for note in notes] == [True, True]
    assert err.count("truncated at") == 2
    models = read(tmp_path / "out")["models"]
    assert models["encoder mean_pool"]["results"]["mytask"]["truncated"] == notes
    assert models["bm25"]["results"]["mytask"]["truncated"] == []


@pytest.mark.thorough
def test_models_of_earlier_evaluations_join_the_tables(flags, task, tmp_path, capsys):
    before, after = tmp_path / "out", tmp_path / "after"
    assert run("--model", "random", "--model", "bm25", *flags) == 0
    assert run("--model", "tfidf", "--model", "bm25", *flags, "--out", after, "--join", before) == 0
    joined = read(after)["models"]
    assert list(joined) == ["random", "bm25", "tfidf", "bm25 (2)"]
    assert joined["bm25"]["results"]["mytask"].pop("difference")["to"] == "random"  # still the first of the table
    assert joined["random"] == read(before)["models"]["random"]
    assert joined["bm25"]["results"] == joined["bm25 (2)"]["results"]
    assert "Joined from" in capsys.readouterr().err

    # A difference to a model that is not the first of the new table is none of it.
    first = tmp_path / "first"
    assert run("--model", "tfidf_char", *flags, "--out", first) == 0
    assert run("--model", "tfidf", *flags, "--out", after, "--join", first, "--join", before) == 0
    joined = read(after)["models"]
    assert list(joined) == ["tfidf_char", "random", "bm25", "tfidf"]
    assert not any("difference" in model["results"]["mytask"] for model in joined.values())

    # Into its own folder it loses nothing, and twice the same adds nothing.
    assert run("--model", "tfidf", *flags, "--join", before, "--join", before) == 0
    assert list(read(before)["models"]) == ["random", "bm25", "tfidf"]

    results = read(before)
    results["tasks"]["mytask"]["notes"] = ["2 of 6 queries left out as trained on"]
    (tmp_path / "other.json").write_text(json.dumps(results))
    assert run("--model", "tfidf", *flags, "--out", after, "--join", tmp_path / "other.json") == 2
    assert "mytask is not the same task (notes ['2 of 6 queries left out" in capsys.readouterr().err
    named = "Name the folder or results.json of an evaluation"
    for broken in ([], "results"):
        (tmp_path / "other.json").write_text(json.dumps(broken))
        assert run("--model", "tfidf", *flags, "--out", after, "--join", tmp_path / "other.json") == 2
        wrong = f"Error: {tmp_path / 'other.json'} holds a {type(broken).__name__} instead of an object. {named}"
        assert capsys.readouterr().err.endswith(f"{wrong} with --join.\n")

    with (task / "targets.csv").open("a") as file:
        file.write("t9,drive trucks\n")
    assert run("--model", "tfidf", *flags, "--out", after, "--join", before) == 2
    assert "mytask is not the same task (targets 5 there, 6 now)" in capsys.readouterr().err
    assert run("--model", "tfidf", *flags, "--out", after, "--join", tmp_path / "nowhere") == 2
    assert "nowhere cannot be read" in capsys.readouterr().err
    assert run("--model", "tfidf", *flags, "--out", after, "--join", before, "--max_tokens", "9") == 2
    assert "--max-tokens 64; this evaluation at 9" in capsys.readouterr().err


def damaged(results, value, *keys):
    *before, last = keys
    inner = copy.deepcopy(results)
    found = functools.reduce(operator.getitem, before, inner)
    found[last] = value
    return inner


def test_results_of_another_shape_do_not_join(flags, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        evaluation_run,
        "trained_on",
        lambda spec, _: TrainingHashes.of(build_graph_set({"job": [Edge("", "write code", "", "Software Engineer")]})),
    )
    assert run("--model", "random", "--model", "bm25", *flags) == 0
    results, file = read(tmp_path / "out"), tmp_path / "other.json"
    model, result = ("models", "bm25"), ("models", "bm25", "results", "mytask")
    values = (None, True, 7, "x", [7], {"a": None}, {"to": "random"})
    places = [("tasks",), ("models",), ("tasks", "mytask"), model, result]
    places += [(*model, key) for key in ("spec", "description", "seconds", "results")]
    places += [(*result, key) for key in ("metrics", "intervals", "long_tail", "truncated", "leakage", "difference")]
    fine = [damaged(results, None, *result, "leakage")]
    fine += [damaged(results, "x", *model, "spec"), damaged(results, "x", *model, "description"), results]
    lacking = copy.deepcopy(results)
    del lacking["models"]["bm25"]["results"]["mytask"]["leakage"]
    wrong = [damaged(results, value, *keys) for keys in places for value in values]
    wrong += [lacking, damaged(results, 7, "settings")]
    for broken in (each for each in wrong if each not in fine):
        file.write_text(json.dumps(broken))
        with pytest.raises(UserError) as raised:
            read_results(file)
        expected = f"--join {file} holds no results. Name the folder or results.json of an evaluation."
        assert str(raised.value) == expected, broken
    for each in fine:
        file.write_text(json.dumps(each))
        assert read_results(file) == each


class Wrong:
    """Fails on long chunks, for the sake of the test; else ranks by nothing."""

    name = "wrong"

    def index(self, targets):
        return lambda queries: np.full((len(queries), len(targets)), np.nan)


def test_a_ranker_that_fails_on_a_task_does_not_stop_the_others(flags, tmp_path, capsys):
    assert run("--model", f"{__name__}:Wrong", "--model", "bm25", *flags) == 2
    printed = capsys.readouterr()
    assert "20 of 20 scores are NaN" in printed.err
    assert (
        "wrong on mytask failed, all else is in the tables. The reason of the first: wrong on mytask: 20" in printed.err
    )
    results = read(tmp_path / "out")
    assert results["models"]["wrong"]["results"] == {}
    assert "mytask" in results["models"]["bm25"]["results"]
    assert results["models"]["wrong"]["macro"] == {}
    assert [each["task"] for each in results["skipped"]] == ["wrong on mytask"]
    assert results["models"]["bm25"]["results"]["mytask"].keys() >= {"metrics", "intervals", "long_tail", "leakage"}


def test_the_other_models_are_measured_when_one_cannot_be_loaded(flags, tmp_path, capsys):
    models = ("bm25", "no.such:Thing", "bm25", "random")
    assert run(*(part for model in models for part in ("--model", model)), *flags) == 2
    err = capsys.readouterr().err
    assert "no.such:Thing on all tasks failed, all else is in the tables. The reason of the first: Model" in err
    results = read(tmp_path / "out")
    assert err.count("A model is one of") == 1
    assert list(results["models"]) == ["bm25", "random"]  # who is named twice is measured once
    assert [each["task"] for each in results["skipped"]] == ["no.such:Thing on all tasks"]
    page = (tmp_path / "out" / "results.md").read_text()
    assert "| no.such:Thing on all tasks | Model 'no.such:Thing': the module cannot be imported" in page


class Own:
    """As the documentation has it, and careless about types."""

    name = 7
    description = None
    encode_seconds = np.float32(0)

    def index(self, targets):
        words = [set(target.split()) for target in targets]
        self.encode_seconds = self.encode_seconds + np.float32(0.5)
        return lambda queries: np.array([[len(w & set(query.split())) for w in words] for query in queries])


def test_a_custom_ranker_may_return_integers(flags, tmp_path):
    assert run("--model", f"{__name__}:Own", *flags, "--dump_rankings", "3") == 0
    model = read(tmp_path / "out")["models"]["7"]
    assert model["description"] == ""
    assert model["seconds"]["encode"] == 0.5
    assert model["results"]["mytask"]["metrics"]["map"] > 50


alive = []


class Large(Own):
    """Notes how many of its kind are in memory when it is made."""

    def __init__(self):
        alive.append(weakref.ref(self))
        self.others = sum(each() is not None for each in alive) - 1

    @property
    def name(self):
        return f"beside {self.others}"

    def index(self, targets):
        score = super().index(targets)
        return lambda queries: score(queries) + self.others


class Larger(Large):
    pass


def test_a_model_is_freed_before_the_next_is_loaded(flags, tmp_path):
    gc.disable()  # device memory must not wait for the collector
    try:
        assert run(*(f"--models={__name__}:{name}" for name in ("Large", "Larger")), *flags) == 0
    finally:
        gc.enable()
    assert list(read(tmp_path / "out")["models"]) == ["beside 0", "beside 0 (2)"]


def test_models_are_compared_with_the_first_one(flags, tmp_path):
    models = [f"--models={model}" for model in (f"{__name__}:Wrong", "random", "bm25", "tfidf")]
    assert run(*models, *flags, "--metrics", "mrr") == 2
    found = {name: model["results"].get("mytask", {}) for name, model in read(tmp_path / "out")["models"].items()}
    assert [name for name in found if "difference" in found[name]] == ["bm25", "tfidf"]  # random is the first
    assert run(*models[1:], *flags) == 0
    results = {name: model["results"]["mytask"] for name, model in read(tmp_path / "out")["models"].items()}
    for name in ("bm25", "tfidf"):
        difference = results[name]["difference"]
        assert difference == found[name]["difference"]
        mean, low, high = difference["map"]
        assert difference["to"] == "random"
        assert mean == pytest.approx(results[name]["metrics"]["map"] - results["random"]["metrics"]["map"])
        assert low <= mean <= high
    assert "## Differences to random" in (tmp_path / "out" / "results.md").read_text()
    assert run(*models[1:], *flags, "--bootstrap", "0") == 0
    assert "difference" not in (tmp_path / "out" / "results.json").read_text()


def test_worst_rankings_are_written_on_request(flags, tmp_path):
    assert run("--model", "random", *flags, "--dump_rankings", "2", "--metrics", "mrr") == 0
    assert list(read(tmp_path / "out")["models"]["random"]["results"]["mytask"]["metrics"]) == ["mrr"]
    folder = tmp_path / "out" / "rankings" / "random"
    lines = [json.loads(line) for line in (folder / "mytask.jsonl").read_text().splitlines()]
    assert len(lines) == 2
    assert lines[0]["query"] in (folder / "mytask.md").read_text()


def files(folder):
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_a_kill_at_any_line_leaves_files_of_one_evaluation(flags, tmp_path):
    out, states = tmp_path / "out", {}
    assert run("--model", "random", *flags, "--dump_rankings", "1", "--bootstrap", "0") == 0
    old = files(out)
    assert sorted(old) == [
        "rankings/random/mytask.jsonl",
        "rankings/random/mytask.md",
        "results.json",
        "results.md",
        "results.png",
    ]
    with at_every_line(lambda _: states.setdefault(len(states), files(out)), {results_folder.__file__}):
        assert run("--model", "bm25", *flags, "--dump_rankings", "1", "--bootstrap", "0") == 0
    new = files(out)
    assert json.loads(new["results.json"])["complete"]
    assert sorted(name.replace("bm25", "random") for name in new) == sorted(old)
    seen = set()
    for state in states.values():
        content = json.loads(state["results.json"])
        (model,) = content["models"]
        seen.add((model, content["complete"]))
        whole = {"random": old, "bm25": new}[model]
        if content["complete"]:
            assert state == whole
        else:
            other = {"random": new, "bm25": old}[model]
            assert not [name for name, found in state.items() if other.get(name) == found]
            assert (
                model == "random"
                or state.get("results.md") == new["results.md"]
                or (b"**Incomplete**" in state.get("results.md", b"**Incomplete**"))
            )
    assert seen == {("random", True), ("random", False), ("bm25", False)}


class Interrupting:
    name = "interrupting"

    def index(self, targets):
        raise KeyboardInterrupt


def test_an_interrupted_evaluation_is_marked(flags, tmp_path, capsys):
    out = tmp_path / "out"
    assert run("--model", "random", "--model", "test_evaluate:Interrupting", *flags) == 130
    assert not read(out)["complete"]
    assert read(out)["models"]["random"]["results"]
    assert "**Incomplete**" in (out / "results.md").read_text()
    assert not (out / "results.png").exists()
    capsys.readouterr()
    assert run("--model", "bm25", "--join", out, *flags) == 0
    assert f"Joined from {out} (of an incomplete evaluation): random" in capsys.readouterr().err
    assert "**Incomplete**" not in (out / "results.md").read_text()


def test_user_files_in_the_folder_are_kept(flags, tmp_path):
    mine = tmp_path / "out" / "rankings" / "random" / "notes.txt"
    assert run("--model", "random", *flags, "--dump_rankings", "1") == 0
    mine.write_text("mine")
    assert run("--model", "random", *flags) == 0
    assert [path.name for path in mine.parent.iterdir()] == ["notes.txt"]


def test_two_evaluations_cannot_write_to_one_folder(flags, tmp_path, capsys):
    with exclusive(tmp_path / "out" / ".lock", "evaluating elsewhere"):
        assert run("--model", "random", *flags) == 2
    message = capsys.readouterr().err
    assert f"Another process is evaluating elsewhere (process {os.getpid()} on" in message
    assert "name another folder with --out" in message
    assert not (tmp_path / "out" / "results.json").exists()


def test_leakage_is_reported_and_leaked_queries_can_be_dropped(flags, tmp_path, monkeypatch):
    edges = [Edge("", "write code", "", "Software Engineer"), Edge("", "nurse care", "", "midwife")]
    hashes = TrainingHashes.of(build_graph_set({"job": edges}))
    monkeypatch.setattr(evaluation_run, "trained_on", lambda spec, _: hashes if spec == "bm25" else None)
    assert run("--model", "bm25", "--model", "random", *flags) == 0
    results = read(tmp_path / "out")
    found = results["models"]["bm25"]["results"]["mytask"]["leakage"]
    assert found == {"queries": 1, "targets": 2, "edges": 1, "domain": "in-domain"}
    assert results["models"]["random"]["results"]["mytask"]["leakage"] is None
    assert run("--model", "bm25", "--model", "random", *flags, "--drop_leaks") == 0
    results = read(tmp_path / "out")
    assert results["tasks"]["mytask"]["queries"] == 3
    # Held-out queries of a task that was trained on are of its domain still.
    found = results["models"]["bm25"]["results"]["mytask"]["leakage"]
    assert found == {"queries": 0, "targets": 2, "edges": 0, "domain": "in-domain"}


def test_a_task_without_data_is_skipped_with_a_warning_or_stops_a_strict_run(flags, tmp_path, capsys):
    tasks = ("--tasks", f"{flags[1]},job_to_skill")
    assert run("--model", "random", *flags, *tasks) == 0
    assert "Skipped job_to_skill: " in capsys.readouterr().err
    results = read(tmp_path / "out")
    assert [each["task"] for each in results["skipped"]] == ["job_to_skill"]
    assert run("--model", "random", *flags, *tasks, "--strict") == 2
    assert "1 of 2 tasks cannot be measured and --strict is set: job_to_skill" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("further", "named", "where"),
    [
        ((), "skill_extraction_tech, ", ""),
        (("--languages", "en,de"), "skill_extraction_tech (en, en-de), ", ", or not in en, de"),
        (("--split", "test"), "skill_extraction_tech, ", ", or has no test split"),
    ],
)
def test_many_tasks_without_data_are_one_line(further, named, where, flags, tmp_path, capsys):
    tasks = ("--tasks", f"{flags[1]},workbench,graded", "--data", tmp_path)
    with shown(logging.INFO):
        assert run("--model", "random", *flags, *tasks, *further) == 0
    printed = capsys.readouterr()
    (line,) = (line for line in printed.err.splitlines() if "skipped" in line.casefold())
    assert line.startswith(f"13 tasks were skipped because their data is not in {tmp_path}{where}: job_to_skill")
    assert named in line
    assert line.endswith("; --tasks NAME says what one needs, --verbose what all do.")
    (line,) = (line for line in printed.out.splitlines() if "skipped" in line.casefold())
    assert re.match("Skipped job_to_skill, .* and .* more: `skipped` of results.json", line)
    assert all(each["reason"].count(" ") > 8 for each in read(tmp_path / "out")["skipped"])


def test_an_empty_folder_is_one_line_too_and_verbose_has_the_reasons(flags, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    asked = ("--model", "random", *flags[2:], "--tasks", "all", "--data", tmp_path / "empty")
    with shown(logging.INFO):
        assert run(*asked) == 2
    printed = capsys.readouterr().err
    assert "Skipped " not in printed
    assert "tasks were skipped because their data is not in" in printed
    assert "requested tasks can be measured; see above for why" in printed
    assert len(max(printed.splitlines(), key=len)) < 800
    with shown(logging.DEBUG):
        assert run(*asked) == 2
    assert capsys.readouterr().err.count("Skipped ") > 3


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ((), "--model is required"),
        (("--model", "bm25", "--tasks", "job_to_skil"), "job_to_skill"),
        (("--model", "bm25", "--data", "nowhere"), "--data nowhere is not a folder"),
        (("--model", "bm25", "--metrics", "map@10"), "map@10"),
        (("--model", "bm25", "--max_queries", "-1"), "--max-queries is -1; it must be at least 0"),
        (
            ("--model", "bm25", "--split", "tset"),
            "--split is 'tset'; it must be one of 'any', 'test', 'validation', 'train'",
        ),
        (("--model", "bm25", "--metrics", "mpa"), "Did you mean 'map'?"),
        (("--model", "bm25", "--metrics", "ndgc@5"), "Did you mean 'ndcg@5'?"),
        (("--model", "bm25", "--max_querys", "3"), "Unrecognized options"),
        (
            ("--model", "no.such.module:Ranker"),
            "on all tasks failed, so nothing was measured; the lines above say why.",
        ),
        (("--model", "bm25", "--tasks", "job_to_skill"), "None of 1 requested task can"),
        (("--model", "bm25", "--tasks", ", "), "--tasks names nothing"),
        (("--model", "bm25", "--out", __file__), f"Cannot write to {__file__}: File exists. Name another folder"),
        (("--model", "bm25", "--out", "/proc/nothing"), "Cannot write to /proc/nothing"),
    ],
)
def test_bad_input_is_reported(flags, added, message, capsys):
    assert run(*flags, *added) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err


def test_a_mistyped_baseline_is_answered_once_without_the_list_of_kinds(flags, capsys, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert run("--model", "bm2", *flags) == 2
    err = capsys.readouterr().err
    assert err.count("Did you mean 'bm25'?") == 1
    assert "A model is one of" not in err
    assert "HF_ENDPOINT" not in err
