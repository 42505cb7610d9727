"""The authors' datasets of the hub as a source: from the hub, prepared, and from a copy."""

import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_hub import SHA, only_hub
from huggingface_hub import constants

from uwe_jax.data.graph import Edge
from uwe_jax.evaluation.tasks.esco_tasks import VACANCY_SKILLS
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.source import SourceEdges, SourceRequest
from uwe_jax.sources.techwolf.source import SENTENCES, SOURCE, TAGGED_VACANCIES

ROWS = [("You weld, daily.", "weld metal"), ("You cook. ", "chef's art"), ("", "weld metal")]
EDGES = [
    Edge("", "weld metal", "", "You weld, daily.", "synthetic"),
    Edge("", "chef's art", "", "You cook.", "synthetic"),
]
TAGGED = [("Welder (m/f)", ["weld metal", "C#"]), ("Chef", [])]
TAGGED_EDGES = [
    Edge("", "weld metal", "", "Welder (m/f)", "tagged"),
    Edge("", "C#", "", "Welder (m/f)", "tagged"),
]
HELD_OUT = [("Head Chef", ["chef's art"])]


def table(rows, header=("sentence", "skill")) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([header, *rows])
    return text.getvalue().encode()


def parquet(rows) -> bytes:
    sink = io.BytesIO()
    columns = list(zip(*rows, strict=True))
    pq.write_table(pa.table(dict(zip(TAGGED_VACANCIES.columns, columns, strict=True))), sink)
    return sink.getvalue()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with only_hub(tmp_path, monkeypatch) as fake:
        yield fake


def load(tmp_path: Path, *graphs: str, path: Path | str = "") -> SourceEdges:
    names = SOURCE.choose(graphs, "source")
    return SOURCE.read(SourceRequest("source", str(path), names, tmp_path / "cache"))


def message(tmp_path: Path, *graphs: str, **settings) -> str:
    with pytest.raises(UserError) as raised:
        load(tmp_path, *graphs, **settings)
    return str(raised.value)


def publish_both(hub) -> None:
    hub.publish({"README.md": b"", "dataset.csv": table(ROWS)}, repo=SENTENCES.repo)
    splits = {"train": TAGGED, "validation": HELD_OUT, "test": HELD_OUT}
    hub.publish(
        {f"data/{split}-00000-of-00001.parquet": parquet(rows) for split, rows in splits.items()},
        repo=TAGGED_VACANCIES.repo,
    )


def test_the_split_for_training_is_downloaded_once(hub, tmp_path, monkeypatch):
    publish_both(hub)
    read = load(tmp_path, "skill_job", "skill_vacancy")
    assert read.edges == {"skill_job": TAGGED_EDGES, "skill_vacancy": EDGES}
    assert list(read.edges) == ["skill_job", "skill_vacancy"]
    assert read.origin == f"{TAGGED_VACANCIES.repo} at {SHA[:12]} and {SENTENCES.repo} at {SHA[:12]}"
    assert read.notes == (f"1 pair of {SENTENCES.repo} without a text left out",)
    assert not any("validation" in path or "test" in path for path in hub.asked)
    hub.asked.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert load(tmp_path, "skill_job", "skill_vacancy") == read
    assert load(tmp_path).edges == {"skill_vacancy": EDGES}
    assert hub.asked == []


def test_splits_for_evaluation_are_never_trained_on(hub, tmp_path):
    # The task that reads it takes another split of the same dataset.
    assert VACANCY_SKILLS.hub is TAGGED_VACANCIES
    hub.publish({"data/validation.parquet": parquet(HELD_OUT)}, repo=TAGGED_VACANCIES.repo)
    text = message(tmp_path, "skill_job")
    assert "no file of the split 'train' among its data files (data/validation.parquet)" in text
    assert "Or leave this graph out of source.graphs." in text
    assert not (tmp_path / "cache").exists()
    assert SOURCE.choose((), "source") == ("skill_vacancy",)


@pytest.mark.parametrize("inside", [".", "Synthetic-ESCO-skill-sentences", "a/synthetic-esco-skill-sentences"])
def test_a_copy_is_read_without_the_hub(hub, tmp_path, inside):
    folder = tmp_path / "Synthetic-ESCO-skill-sentences" if inside == "." else tmp_path / "downloads"
    copy = folder / inside
    copy.mkdir(parents=True)
    (copy / "dataset.csv").write_bytes(table(ROWS))
    (copy / "README.md").write_text("---")
    (tmp_path / "dataset.csv").write_bytes(table([("Of others.", "x")]))
    read = load(tmp_path, path=folder)
    assert read.edges == {"skill_vacancy": EDGES}
    assert str(copy.resolve()) in read.origin
    assert hub.asked == []


def test_a_copy_of_a_split_for_evaluation_is_not_trained_on(hub, tmp_path):
    copy = tmp_path / "downloads" / "vacancy-job-to-skill"
    copy.mkdir(parents=True)
    (copy / "validation.jsonl").write_text(json.dumps(dict(zip(TAGGED_VACANCIES.columns, HELD_OUT[0], strict=True))))
    text = message(tmp_path, "skill_job", path=tmp_path / "downloads")
    assert f"{copy} has no file of the split 'train'" in text
    publish_both(hub)
    assert load(tmp_path, "skill_job", path=tmp_path / "downloads").edges == {"skill_job": TAGGED_EDGES}


def test_offline_without_a_copy_the_remedies_are_reported(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    text = message(tmp_path, path=tmp_path)
    assert f"{SENTENCES.repo} (train) is not prepared in {tmp_path / 'cache'}" in text
    assert f"put a copy of {SENTENCES.page} into" in text
    assert f"In {tmp_path} there is no folder of its name." in text
    assert "does not exist" in message(tmp_path, path=tmp_path / "nowhere")
    assert hub.asked == []


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("dataset.csv", table(ROWS, ("sentence", "label")), "no column 'skill'"),
        ("dataset.csv", b"", "is empty"),
        ("dataset.csv", table([]), "0 "),
        ("dataset.csv", table([("", "weld metal")]), "gives 0 edges in 1 rows"),
        ("dataset.csv", table([*ROWS, ("a", "b", "c")]), "line 5: found 3 fields"),
        ("dataset.jsonl", b'{"sentence": "a", "skill": "b"}\n{"sentence": "a", "ski', "line 2: found invalid JSON"),
        ("dataset.parquet", b"PAR1", "cannot be read as Parquet"),
    ],
)
@pytest.mark.parametrize("copied", [False, True])
def test_files_unlike_the_published_ones_are_reported(hub, tmp_path, name, content, expected, copied):
    copy = tmp_path / "Synthetic-ESCO-skill-sentences"
    copy.mkdir()
    if copied:
        (copy / name).write_bytes(content)
    else:
        hub.publish({name: content}, repo=SENTENCES.repo)
    assert expected in message(tmp_path, path=tmp_path)


def test_a_label_that_is_not_a_list_is_reported(hub, tmp_path):
    rows = [("Welder", "weld metal"), ("Chef", "['cook']")]
    hub.publish({"train.csv": table(rows, tuple(TAGGED_VACANCIES.columns))}, repo=TAGGED_VACANCIES.repo)
    assert "line 2: found tagged_esco_skills 'weld metal'; expected a list of texts" in message(tmp_path, "skill_job")
