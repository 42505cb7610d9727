"""A user's own task: every format gives the same one, and every kind of mistake is named with its line."""

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from task_data import read_task_folder

from uwe_jax.evaluation.tasks.catalogue import choose, load_tasks
from uwe_jax.evaluation.tasks.task import TaskSources
from uwe_jax.runtime.errors import UserError

QUERIES = [("q1", "cook, and serve"), ("q2", "weld\nsteel"), ("q3", "sleep")]
TARGETS = [("1", "cooking"), ("2", "welding"), ("3", "singing"), ("4", "cooking ")]
RELEVANT = [("q1", "1"), ("q2", "2"), ("q1", "3"), ("q2", "4")]
COLUMNS = {"queries": ("id", "text"), "targets": ("id", "text"), "relevant": ("query_id", "target_id")}


def write(folder, suffix=".csv", **changes):
    folder.mkdir(parents=True, exist_ok=True)
    tables = {"queries": QUERIES, "targets": TARGETS, "relevant": RELEVANT} | changes
    for name, rows in tables.items():
        path = folder / f"{name}{suffix}"
        if suffix in (".csv", ".tsv"):
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file, delimiter="," if suffix == ".csv" else "\t")
                writer.writerows([COLUMNS[name], *rows])
        else:
            # ids as numbers where they are numbers
            values = [[int(value) if value.isdecimal() else value for value in row] for row in rows]
            columns = dict(zip(COLUMNS[name], map(list, zip(*values, strict=True)), strict=True))
            if suffix == ".parquet":
                pq.write_table(pa.table(columns), path)
            else:
                lines = [json.dumps(dict(zip(COLUMNS[name], row, strict=True))) for row in values]
                path.write_text("\n".join(lines), encoding="utf-8")
    return folder


def message(folder) -> str:
    with pytest.raises(UserError) as raised:
        read_task_folder(folder)
    return str(raised.value)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_every_format_gives_the_same_task(tmp_path, suffix):
    task = read_task_folder(write(tmp_path / "courses", suffix))
    assert task.queries == ("cook, and serve", "weld steel")
    assert task.targets == ("cooking", "singing", "welding")
    assert task.relevant.toarray().tolist() == [[True, True, False], [True, False, True]]
    assert task.notes == ("1 equal target joined", "1 query without a relevant target left out")
    assert (task.name, task.title, task.group, task.split) == ("courses", "courses", "", "all")
    assert (task.query_kind, task.target_kind) == ("vacancy", "skill")


def test_formats_may_be_mixed_and_queries_of_equal_text_are_two(tmp_path):
    folder = write(tmp_path / "courses", queries=[("q1", "cook"), ("q2", "cook")])
    (folder / "targets.csv").unlink()
    write(tmp_path / "other", ".jsonl")
    (tmp_path / "other" / "targets.jsonl").rename(folder / "targets.jsonl")
    task = read_task_folder(folder)
    assert task.queries == ("cook", "cook")
    assert task.relevant.sum(axis=1).tolist() == [2, 2]


def test_settings(tmp_path):
    folder = write(tmp_path / "courses")
    settings = folder / "task.json"
    settings.write_text(json.dumps({"title": "Courses\n", "query_kind": "job"}))
    task = read_task_folder(folder)
    assert (task.title, task.query_kind, task.target_kind) == ("Courses", "job", "skill")
    for content, expected in (
        ('{"title": "Courses"', "task.json is not readable JSON: "),
        (
            '{"name": "Courses"}',
            "wrong 'name'. Expected an object with some of title, query_kind, target_kind, each",
        ),
        ('{"title": 3}', "each a text"),
        ("[]", "each a text"),
        ('{"target_kind": "course"}', "target_kind 'course'. Expected one of skill, job, vacancy, alias"),
    ):
        settings.write_text(content)
        assert expected in message(folder)


def test_judgements_that_say_not_relevant_are_left_out(tmp_path):
    folder = write(tmp_path / "courses")
    relevant = "query-id\tcorpus-id\tscore\nq1\t1\t2\nq1\t2\t0\nq2\t2\t0.5\nq2\t3\t-1\nq2\t1\t{}\n"
    (folder / "relevant.csv").write_text(relevant.format("0"))
    task = read_task_folder(folder)
    assert task.relevant.toarray().tolist() == [[True, False, False], [False, False, True]]
    assert "3 rows with a score of 0 or less left out" in task.notes
    for score in ("high", "nan", ""):
        (folder / "relevant.csv").write_text(relevant.format(score))
        assert f"relevant.csv, line 6: found score '{score}'; expected a number" in message(folder)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"relevant": [("q1", "1"), ("q9", "1")]},
            "relevant.csv, line 3: found query_id 'q9'; expected an id of",
        ),
        ({"relevant": [("q1", "7")]}, "relevant.csv, line 2: found target_id '7'; expected an id of the 4 targets"),
        ({"queries": [("q1", "a"), ("q2", "b"), ("q1", "c")]}, "queries.csv, line 4: found id 'q1' again (first in"),
        ({"targets": [*TARGETS, ("5", " \t")]}, "targets.csv, line 6: found an empty text for id '5'"),
        ({"queries": [*QUERIES[:2], ("", "nameless")]}, "found no id beside 'nameless'"),
        ({"targets": TARGETS[:1] * 2}, "courses/targets.csv, line 3: found id '1' again (first in"),
        ({"targets": TARGETS[::3], "relevant": RELEVANT[:1]}, "has a target space of 1 (1 equal target joined)"),
        ({"relevant": []}, "has nothing to rank: of 3 queries 3 have no relevant target"),
    ],
)
def test_mistakes_are_reported(tmp_path, changes, expected):
    assert expected in message(write(tmp_path / "courses", **changes))


def test_a_mistake_is_reported_once(tmp_path):
    folder = write(tmp_path / "courses", targets=[*TARGETS[:1], ("2", ""), *TARGETS[2:]])
    assert message(folder).startswith(f"1 broken row in {folder}:")  # not that q2's target is unknown, too
    (folder / "targets.csv").write_bytes("id,text\n1,caf\xe9\n2,welding\n".encode("latin-1"))
    assert message(folder).startswith(f"1 broken row in {folder}:\n  courses/targets.csv, line 2: found byte 0xe9")


def test_files_of_windows_and_spreadsheets(tmp_path):
    folder = write(tmp_path / "courses")
    for path in folder.iterdir():
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n").replace(b"\r\r", b"\r"))
    task = read_task_folder(folder)
    assert (task.queries, task.targets) == (("cook, and serve", "weld steel"), ("cooking", "singing", "welding"))
    (folder / "queries.csv").write_text("id,text\nq1,a\n", encoding="utf-16")
    assert message(folder).startswith("courses/queries.csv is UTF-16 text. Expected UTF-8")


def test_text_that_cannot_be_encoded_is_refused(tmp_path):
    folder = write(tmp_path / "courses", ".jsonl")
    (folder / "task.json").write_text('{"title": "\\ud800"}')
    assert "each a text" in message(folder)
    (folder / "task.json").unlink()
    (folder / "queries.jsonl").write_text('{"id": "q1", "text": "\\ud800"}\n{"id": "q2", "text": "a"}')
    assert "courses/queries.jsonl, line 1: found half a surrogate pair in" in message(folder)


def test_missing_and_doubled_files_and_columns(tmp_path):
    folder = write(tmp_path / "courses")
    (folder / "queries.csv").write_text("text\ncook\n")
    assert "queries.csv has no column 'id'; expected the columns id, text" in message(folder)
    (folder / "queries.csv").unlink()
    assert "has no queries file; it holds relevant.csv, targets.csv. Expected one of each" in message(folder)
    write(folder, ".tsv")
    assert "has two files for targets, targets.csv and targets.tsv" in message(folder)
    assert "does not exist. Expected the folder of a ranking task" in message(tmp_path / "nowhere")


def test_a_folder_is_chosen_like_a_task_of_the_catalogue(tmp_path, monkeypatch):
    folder = write(tmp_path / "courses")
    (spec,) = choose([str(folder)])
    assert (spec.name, spec.kinds, spec.splits, spec.where) == ("courses", ("vacancy", "skill"), ("all",), str(folder))
    sources = TaskSources((), tmp_path / "cache", offline=True)
    for split in ("test", "any"):
        (task,), skipped = load_tasks([spec], sources, split)
        assert (task.name, task.split, skipped) == ("courses", "all", [])
    monkeypatch.chdir(tmp_path)
    assert [spec.name for spec in choose(["courses", "courses/", "./courses"])] == ["courses"]
    with pytest.raises(UserError, match=r"does not exist\..* Expected the folder of a ranking task"):
        choose(["./course"])
    with pytest.raises(UserError, match="There is no task 'course'"):
        choose(["course"])


def test_two_tasks_of_one_name_are_refused(tmp_path):
    folders = [str(write(tmp_path / name / "courses")) for name in ("a", "b")]
    with pytest.raises(UserError, match=r"Two tasks are named courses: .*/a/courses, and .*/b/courses"):
        choose(folders)
    with pytest.raises(UserError, match="Two tasks are named job_to_skill: one of the catalogue, and"):
        choose([str(write(tmp_path / "job_to_skill"))])
