"""results.json has the fields that docs/evaluation.md lists, and a change of them needs a new version."""

import hashlib
import json
import re
from pathlib import Path

import pytest
from esco_downloads import write_release
from graphs import build_graph_set
from rendered import sections

import uwe_jax
from uwe_jax.data.graph import Edge
from uwe_jax.data.training_hashes import TrainingHashes
from uwe_jax.evaluation import run as evaluation_run
from uwe_jax.evaluation.aggregate import SCHEMA_VERSION
from uwe_jax.evaluation.join import read_results
from uwe_jax.runtime.errors import UserError

# Of the listed fields and types, by schema version. A changed list needs a new version here and in `SCHEMA_VERSION`.
PUBLISHED = {1: "07d37c033f683d67", 2: "d7fa62163c5ca39e", 3: "83ef8d58a77edcdf"}
PAGE = Path(__file__).parents[1] / "docs" / "evaluation.md"
TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}


def documented():
    """The types of every field, and whether it may be missing."""
    _, *rows = sections(PAGE.read_text())["results.json"]
    return {field.strip("`"): kind for field, kind, _ in rows}


def found(value, field=""):
    """All fields of a JSON value with their types; names of models, tasks and metrics are as they are."""
    if isinstance(value, dict):
        inner = [(f"{field}.{key}".lstrip("."), each) for key, each in value.items()]
    elif isinstance(value, list):
        inner = [(f"{field}[]", each) for each in value]
    else:
        return {(field, TYPES[type(value)])}
    return set().union(*(found(each, key) for key, each in inner))


def matches(field, name):
    return re.fullmatch(re.escape(name).replace(r"\*", "[^.]+"), field)


def undocumented(fields, names):
    """Fields that no row of the table has, or has with another type; a whole number is a number as well."""
    fits = {"integer": ("integer", "number")}
    return [
        (field, kind)
        for field, kind in sorted(fields)
        if not any(
            matches(field, name) and set(fits.get(kind, (kind,))) & set(re.split(", optional| or ", types))
            for name, types in names.items()
        )
    ]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A results.json with every field but that of run files."""
    folder = tmp_path_factory.mktemp("evaluation")
    write_release(folder / "data")
    tasks = [
        uwe_jax.ranking_task("mine", {"nurse": ["care"], "cook": ["boil", "care"]}, ["care", "boil", "care "]),
        uwe_jax.ranking_task("graded", {"nurse": {"care": 2, "boil": 1}, "cook": {"boil": 3}}, threshold=2),
    ]
    hashes = TrainingHashes.of(build_graph_set({"job": [Edge("", "care", "", "nurse")]}))

    class Encoding:
        name, encode_seconds = "bm25s", 0.0

        def index(self, targets):
            self.encode_seconds += 0.5
            return lambda queries: [[len(query) * len(target) for target in targets] for query in queries]

        def truncation(self, texts):
            return uwe_jax.evaluation.ranker.Truncation(4, len(texts), 1, 9)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation_run, "trained_on", lambda *_: hashes)
        uwe_jax.evaluate(
            ["random", "tfidf", Encoding()],
            [*tasks, "skill_normalisation", "skill_similarity"],
            **{"data": folder / "data", "offline": True, "bootstrap": 10, "out": folder, "classify": 0.5},
        )
    return folder / "results.json"


@pytest.fixture(scope="module")
def with_a_run(tmp_path_factory):
    """A results.json of a run file that lacks a query."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "other.trec").write_text("q1 Q0 t1 1 0.5 other\n")
    task = uwe_jax.ranking_task("mine", {"nurse": ["care"], "cook": ["boil"]}, ["care", "boil"])
    uwe_jax.evaluate([], task, run=folder / "other.trec", out=folder)
    return folder / "results.json"


def test_every_field_is_documented_and_every_documented_field_is_written(written, with_a_run):
    names, fields = documented(), found(json.loads(written.read_text())) | found(json.loads(with_a_run.read_text()))
    assert not undocumented(fields, names)
    assert [name for name in names if not any(matches(field, name) for field, _ in fields)] == []


def test_fields_of_a_small_evaluation(tmp_path):
    task = uwe_jax.ranking_task("mine", {"nurse": ["care"]}, ["care", "boil"])
    uwe_jax.evaluate("random", task, bootstrap=0, out=tmp_path)
    names, fields = documented(), found(json.loads((tmp_path / "results.json").read_text()))
    assert not undocumented(fields, names)
    # Lists and averages are empty here.
    empty = re.compile(r"(skipped|notes|truncated)\[]|\.(groups|macro|languages)\.")
    needed = [name for name, kind in names.items() if "optional" not in kind and not empty.search(name)]
    assert [name for name in needed if not any(matches(field, name) for field, _ in fields)] == []


def test_a_changed_schema_has_a_new_version():
    lines = "\n".join(sorted(f"{name}: {kind}" for name, kind in documented().items()))
    assert PUBLISHED[SCHEMA_VERSION] == hashlib.sha256(lines.encode()).hexdigest()[:16], (
        "The fields of results.json have changed: raise SCHEMA_VERSION, and add the digest of the new list."
    )


def test_results_of_a_newer_schema_are_refused(written, tmp_path):
    assert read_results(written)["schema_version"] == SCHEMA_VERSION
    newer = json.loads(written.read_text()) | {"schema_version": SCHEMA_VERSION + 1}
    (tmp_path / "results.json").write_text(json.dumps(newer))
    with pytest.raises(UserError, match=f"has schema version {SCHEMA_VERSION + 1}; this version of uwe_jax reads"):
        read_results(tmp_path)
