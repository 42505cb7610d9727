"""Evaluation from Python: equal to the command, with results as objects and as tables."""

import json
import sys

import numpy as np
import pytest
from tiny_encoder import write_tiny_encoder

import uwe_jax
from uwe_jax.commands import evaluate as command
from uwe_jax.runtime.errors import UserError
from uwe_jax.scoring.statistics import paired_bootstrap

QUERIES = {"software engineer": ["write code", "code"], "nurse": ["nurse care", "care for patients"], "code": ["code"]}
TARGETS = ("write code", "care for patients", "engineer software", "nurse care", "code")


class Overlap:
    """Ranks by words in common."""

    name = "overlap"
    __hash__ = None  # rankers need not be hashable

    def index(self, targets):
        words = [set(target.split()) for target in targets]
        return lambda queries: np.array([[len(w & set(query.split())) for w in words] for query in queries])


class Broken(Overlap):
    name = "broken"

    def index(self, targets):
        return lambda queries: np.full((len(queries), len(targets)), np.nan)


@pytest.fixture(scope="module")
def task():
    return uwe_jax.ranking_task("mine", QUERIES, TARGETS, title="Mine")


@pytest.fixture(scope="module")
def found(task):
    return uwe_jax.evaluate([Overlap(), "random"], task, bootstrap=50, metrics="map,mrr")


def test_results_are_objects(found):
    assert (found.models, list(found.tasks), len(found)) == (["overlap", "random"], ["mine"], 2)
    overlap, random = found
    assert (overlap.model, overlap.task, overlap.difference) == ("overlap", "mine", None)
    assert overlap.queries == tuple(QUERIES)
    for each in found:
        assert list(each.per_query) == list(each.metrics) == ["map", "mrr"]
        for metric, values in each.per_query.items():
            assert values.mean() == pytest.approx(each.metrics[metric])
            low, high = each.intervals[metric]
            assert low <= each.metrics[metric] <= high
    mean, low, high = paired_bootstrap(random.per_query["map"], overlap.per_query["map"], samples=50)
    assert random.difference == ("overlap", mean, low, high)
    assert found.difference("random", "overlap", "mine", samples=50) == random.difference
    reciprocal = found.difference("overlap", "random", "mine", "mrr")
    assert reciprocal.mean == pytest.approx(overlap.metrics["mrr"] - random.metrics["mrr"])
    assert reciprocal.significant == (reciprocal.low > 0)
    assert found["random", "mine"].metrics == random.metrics
    assert found.macro("overlap") == {}  # a task of one's own counts for no macro-average


def test_the_command_and_python_measure_the_same(task, tmp_path):
    folder = write_tiny_encoder(tmp_path / "encoder", width=16, layers=1)
    for name, header, rows in (
        ("queries", "id,text", [f"{k},{query}" for k, query in enumerate(QUERIES)]),
        ("targets", "id,text", [f"{k},{target}" for k, target in enumerate(TARGETS)]),
        (
            "relevant",
            "query_id,target_id",
            [f"{k},{TARGETS.index(each)}" for k, right in enumerate(QUERIES.values()) for each in right],
        ),
    ):
        (tmp_path / "mine").mkdir(exist_ok=True)
        (tmp_path / "mine" / f"{name}.csv").write_text("\n".join([header, *rows]))
    out, cache = tmp_path / "out", tmp_path / "cache"
    flags = ("--tasks", tmp_path / "mine", "--out", out, "--cache_dir", cache, "--bootstrap", "20", "--offline")
    command.main(["--model", f"{folder}:soft", *map(str, flags)])
    written = json.loads((out / "results.json").read_text())
    settings = {"bootstrap": 20, "cache_dir": str(cache), "offline": True}
    loaded = uwe_jax.load(f"{folder}:soft", cache_dir=cache)
    assert loaded.how.clean_queries  # the evaluation's own setting holds
    (name,) = written["models"]
    for model in (f"{folder}:soft", loaded):
        found = uwe_jax.evaluate(model, [tmp_path / "mine"], out=tmp_path / "again", **settings)
        again = json.loads((tmp_path / "again" / "results.json").read_text())
        assert again["settings"] == written["settings"]
        assert again["models"][name]["results"] == written["models"][name]["results"]
        assert found[name, "mine"].metrics == written["models"][name]["results"]["mine"]["metrics"]
        # The task of a folder and that of the same texts.
        assert uwe_jax.evaluate(model, task, **settings)[name, "mine"].metrics == found[name, "mine"].metrics
    assert uwe_jax.evaluate("bm25", found.tasks["mine"])["bm25", "mine"].queries == tuple(QUERIES)
    with pytest.raises(UserError, match="was loaded with max_tokens=64; the evaluation has max_tokens=9"):
        uwe_jax.evaluate(loaded, task, max_tokens=9, **settings)


def test_models_have_the_titles_that_they_are_given(task, tmp_path):
    first = uwe_jax.evaluate({"a": Overlap(), "b": "random"}, task, bootstrap=20, out=tmp_path / "first")
    assert first.models == ["a", "b"]
    same = Overlap()
    joined = uwe_jax.evaluate([same, same, Overlap()], task, bootstrap=20, join=tmp_path / "first")
    assert joined.models == ["a", "b", "overlap", "overlap (2)"]
    assert not joined["a", "mine"].per_query
    with pytest.raises(UserError, match="a was joined from an earlier evaluation, without metrics per query"):
        joined.difference("overlap", "a", "mine")


def test_rows_and_tables(found):
    rows = found.rows()
    assert [(row["model"], row["metric"]) for row in rows] == [
        (model, metric) for model in ("overlap", "random") for metric in ("map", "mrr")
    ]
    random = found["random", "mine"]
    assert rows[2]["value"] == random.metrics["map"]
    assert (rows[2]["difference_to"], rows[2]["difference"]) == ("overlap", random.difference.mean)
    assert rows[3]["difference"] is rows[0]["difference"] is None
    per_query = found.rows(per_query=True)
    assert [row["query"] for row in per_query] == 2 * list(QUERIES)
    assert [row["mrr"] for row in per_query[3:]] == random.per_query["mrr"].tolist()
    score = f"{random.metrics['map']:.1f}"
    assert score in repr(found)
    shown = found._repr_html_()
    assert shown.startswith("<table><caption>Percent")
    assert f">{score}" in shown
    page = found._repr_markdown_()
    assert f"| random | {random.metrics['map']:.2f} |" in page
    assert "paired bootstrap" in page


def test_to_pandas(found, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pandas", None)
        with pytest.raises(UserError, match=r"to_pandas\(\) needs the Python package pandas.*rows\(\) gives the same"):
            found.to_pandas()
    pandas = pytest.importorskip("pandas")
    frame = found.to_pandas()
    assert frame.columns.tolist() == list(found.rows()[0])
    maps = frame[frame.metric == "map"].set_index("model")
    assert maps.value["overlap"] == found["overlap", "mine"].metrics["map"]
    assert pandas.isna(maps.difference["overlap"])
    assert found.to_pandas(per_query=True).groupby("model")["mrr"].mean()["random"] == pytest.approx(
        found["random", "mine"].metrics["mrr"]
    )


def test_a_failure_among_others_is_a_warning_and_shown(task):
    with pytest.warns(UserWarning, match="broken on mine failed, all else is in the tables"):
        found = uwe_jax.evaluate([Overlap(), Broken()], task, bootstrap=0)
    assert [each.model for each in found] == ["overlap"]
    assert [each["task"] for each in found.skipped] == ["broken on mine"]
    for shown in (repr(found), found._repr_html_(), found._repr_markdown_()):
        assert "broken on mine" in shown
    with pytest.raises(UserError, match=r"broken on mine: .* scores are NaN"):
        uwe_jax.evaluate(Broken(), task)


@pytest.mark.parametrize(
    ("model", "tasks", "options", "message"),
    [
        ("bm25", "mine", {"max_querys": 3}, "Unknown setting max_querys. Did you mean max_queries?"),
        ("bm25", "mine", {"max_queries": "3"}, "max_queries is '3'; it must be of type int."),
        ("bm25", "mine", {"split": "dev"}, "split is 'dev'; it must be one of 'any', 'test', 'validation', 'train'"),
        ("bm25", "mine", {"dump_rankings": 3}, "dump_rankings writes files. Name their folder with out."),
        ("bm25", "mine", {"data": None}, "data is None; it must be a list."),
        ("bm25", "mine", {"data": "nowhere"}, "--data nowhere is not a folder"),
        ("bm25", "mine", {"metrics": "mpa"}, "Did you mean 'map'?"),
        ([], "mine", {}, "There is no model to measure"),
        ({}, "mine", {}, "There is no model to measure"),
        (7, "mine", {}, "Model of type builtins.int is a int without name and index"),
        (Overlap, "mine", {}, "The model is the class Overlap. Give an object of it"),
        ("bm2", "mine", {"offline": True}, "Did you mean 'bm25'?"),
        ("bm25", [], {}, "tasks names nothing"),
        ("bm25", 7, {}, "A task is of type int. Give its name"),
        ("bm25", "job_to_skil", {}, "There is no task 'job_to_skil'"),
    ],
)
def test_bad_input_is_reported(task, model, tasks, options, message, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError) as raised:
        uwe_jax.evaluate(model, task if tasks == "mine" else tasks, **options)
    assert message in str(raised.value)


def test_tasks_of_one_name_and_unknown_names(task, found):
    other = uwe_jax.ranking_task("mine", QUERIES, TARGETS[:-1])
    with pytest.raises(UserError, match="Two tasks are named mine"):
        uwe_jax.evaluate("random", [task, other])
    with pytest.raises(UserError, match="query_kind is 'cv'; it must be one of"):
        uwe_jax.ranking_task("mine", QUERIES, TARGETS, query_kind="cv")
    with pytest.raises(
        UserError, match=r"There is no model 'radom'\. Did you mean 'random'\? There are overlap, random"
    ):
        found["radom", "mine"]
    with pytest.raises(UserError, match="There is no metric 'ndcg'"):
        found.difference("random", "overlap", "mine", "ndcg")
