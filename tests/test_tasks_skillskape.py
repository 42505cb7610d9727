"""SkillSkape: sentences from its files, skills from the release of ESCO they were written for."""

from pathlib import Path

import pytest
from esco_downloads import SKILL, classification, write_zip
from task_data import HubInMemory, relevant, sources_of

from uwe_jax.evaluation.tasks.annotated_tasks import SKILLSKAPE as SPEC
from uwe_jax.evaluation.tasks.task import RankingTask, TaskDataMissing
from uwe_jax.runtime.errors import UserError

# The old release has a label that the new one calls otherwise.
OLD = [(SKILL + "1", "weld metal", ""), (SKILL + "2", "plan shifts, breaks", ""), (SKILL + "3", "chef's art", "")]
NEW = [*OLD[:2], (SKILL + "3", "haute cuisine", ""), (SKILL + "4", "C#", "")]
DEV = """,sentence,skills
0,"Weld, and plan.","['weld metal', 'plan shifts, breaks']"
1,We are a bakery.,['UNK']
2,Cook.,"[""chef's art"", 'UNK']"
3,Code.,['C\\d']
"""


def write(folder: Path, name: str = "dev.csv", text: str = DEV) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def write_esco(folder: Path, *versions: str) -> None:
    for version in versions:
        write_zip(folder, version, "en", classification(OLD if version == "1.1.0" else NEW))


def load(folder: Path, split: str = "validation", **settings) -> RankingTask:
    return SPEC.load(sources_of(folder, **settings), split)


@pytest.mark.parametrize("depth", ["", "skillskape", "a/b"])
def test_sentences_ask_for_their_skills(tmp_path, depth):
    write_esco(tmp_path / "esco", "1.1.0", "1.2.0")
    write(tmp_path / depth)
    task = load(tmp_path)
    assert relevant(task) == {
        ("Weld, and plan.", "weld metal"),
        ("Weld, and plan.", "plan shifts, breaks"),
        ("Cook.", "chef's art"),
    }
    assert task.targets == ("chef's art", "plan shifts, breaks", "weld metal")
    assert task.origin == "SkillSkape dev.csv; skills of ESCO v1.1.0 (en)"
    assert task.notes == (
        "1 sentence without a skill left out",
        "1 label not among the targets left out",
        "1 query without a relevant target left out",
    )
    assert (task.group, task.query_kind, task.target_kind) == ("", "vacancy", "skill")


def test_without_the_release_of_the_labels_the_newest_is_used(tmp_path):
    write_esco(tmp_path, "1.2.0", "1.1.1")
    write(tmp_path)
    task = load(tmp_path)
    assert task.origin == "SkillSkape dev.csv; skills of ESCO v1.2.0 (en)"
    assert ("Cook.", "chef's art") not in relevant(task)
    assert load(tmp_path, esco_version="1.1.1").origin == "SkillSkape dev.csv; skills of ESCO v1.1.1 (en)"


def test_the_training_file_is_not_a_split(tmp_path):
    write_esco(tmp_path, "1.1.0")
    write(tmp_path, "train.csv")
    assert SPEC.splits == ("validation", "test")
    with pytest.raises(TaskDataMissing, match=r"No dev\.csv with the columns sentence, skills in .*huggingface"):
        load(tmp_path)
    write(tmp_path, "test.csv", ',sentence,skills\n0,Cook.,["chef\'s art"]\n')
    assert load(tmp_path, "test").queries == ("Cook.",)


def test_other_files_are_ignored_and_differing_copies_are_refused(tmp_path):
    write_esco(tmp_path, "1.1.0")
    write(tmp_path / "other", text="sentence,label\na,b\n")
    write(tmp_path / "one")
    write(tmp_path / "copy")
    assert load(tmp_path).queries == ("Weld, and plan.", "Cook.")
    write(tmp_path / "rival", text=DEV.replace("bakery", "brewery"))
    with pytest.raises(UserError, match=r"of SkillSkape.*: copy/dev\.csv, one/dev\.csv, rival/dev\.csv\. Expected one"):
        load(tmp_path)


@pytest.mark.parametrize("cell", ["weld metal", "['weld metal'", "[1]", "{'weld metal'}", "", "__import__('os')"])
def test_a_cell_that_is_not_a_list_of_texts_is_reported_with_its_line(tmp_path, cell):
    write_esco(tmp_path, "1.1.0")
    write(tmp_path, text=f'{DEV}4,Stop.,"{cell}"\n')
    with pytest.raises(UserError, match=r"dev\.csv, line 6: found skills .*expected a list of texts such as \["):
        load(tmp_path)


def test_without_esco_the_task_is_skipped(tmp_path):
    write(tmp_path)
    with pytest.raises(TaskDataMissing, match=r"No ESCO"):
        load(tmp_path)


def test_without_a_file_rows_of_the_hub_are_read(tmp_path, monkeypatch):
    write_esco(tmp_path, "1.1.0")
    hub = HubInMemory(monkeypatch)
    hub.datasets["jjzha/skillskape", "test"] = [("Cook.", "chef's art"), ("Hi.", "UNK"), ("Cook.", "weld metal")]
    task = load(tmp_path, "test")
    assert relevant(task) == {("Cook.", "chef's art"), ("Cook.", "weld metal")}
    assert task.origin == "SkillSkape jjzha/skillskape at 7d5a; skills of ESCO v1.1.0 (en)"
    assert task.notes == ("1 sentence without a skill left out",)
    with pytest.raises(TaskDataMissing, match=r"No dev\.csv with the columns .*skillskape \(validation\) cannot be"):
        load(tmp_path)
    write(tmp_path / "skillskape", "validation.csv", "sentence,label\nPlan.,weld metal\n")
    assert relevant(load(tmp_path)) == {("Plan.", "weld metal")}
    assert hub.asked == [("jjzha/skillskape", "test"), ("jjzha/skillskape", "validation")]
