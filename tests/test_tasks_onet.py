"""O*NET from its text download: what becomes a query, a target and an edge, and how the files are found."""

import zipfile
from pathlib import Path

import pytest
from onet_download import FILES, damage, files_since_30_3
from onet_download import write_onet as write
from task_data import relevant

from uwe_jax.evaluation.tasks.onet import SPECS
from uwe_jax.evaluation.tasks.task import RankingTask, TaskDataMissing, TaskSources
from uwe_jax.runtime.errors import UserError

LOAD = {spec.name: spec.load for spec in SPECS}


def load(name: str, *folders: Path) -> RankingTask:
    return LOAD[f"onet_{name}"](TaskSources(folders, Path("unused")), "all")


# --- the tasks


def test_alternate_titles_ask_for_their_occupations(tmp_path):
    write(tmp_path)
    task = load("title_to_occupation", tmp_path)
    assert relevant(task) == {
        ("President", "Chief Executives"),
        ("Executive Chef", "Head Cooks"),
        ("Manager", "Head Cooks"),
        ("Manager", "Chief Executives"),
    }
    assert task.targets == ("Chief Executives", "Head Cooks", "Welders")
    assert (task.query_kind, task.target_kind) == ("job", "job")
    # one equals its own occupation's title, one another's
    assert task.notes == ("2 alternate titles equal to the title of an occupation left out",)
    assert task.origin == "O*NET 29.3"


def test_occupations_ask_for_the_activities_of_their_tasks(tmp_path):
    write(tmp_path)
    task = load("occupation_to_activity", tmp_path)
    assert relevant(task) == {
        ("Chief Executives", "Direct financial operations."),
        ("Chief Executives", "Manage budgets."),
        ("Head Cooks", "Plan menu options."),
        ("Welders", "Plan menu options."),
    }
    assert "Weld." in task.targets
    assert (task.query_kind, task.target_kind) == ("job", "skill")


def test_occupations_ask_for_their_technologies(tmp_path):
    write(tmp_path)
    task = load("occupation_to_technology", tmp_path)
    assert relevant(task) == {
        ("Chief Executives", "AdSense Tracker"),
        ("Chief Executives", "Point of sale software"),
        ("Head Cooks", "Point of sale software"),
    }
    assert task.targets == ("AdSense Tracker", "Point of sale software")
    assert task.notes == ("1 query without a relevant target left out",)


def test_task_statements_ask_for_their_activities(tmp_path):
    write(tmp_path)
    task = load("task_to_activity", tmp_path)
    assert relevant(task) == {
        ("Direct financial activities.", "Direct financial operations."),
        ("Direct financial activities.", "Manage budgets."),
        ("Direct financial activities.", "Plan menu options."),  # of the same statement in another occupation
        ('Plan "daily" menus.', "Plan menu options."),
    }
    assert (task.query_kind, task.target_kind) == ("vacancy", "skill")


def test_onet_tasks_are_outside_workbench_and_not_split():
    assert {(spec.group, spec.splits) for spec in SPECS} == {("", ("all",))}
    assert len({spec.name for spec in SPECS}) == 4


# --- the files


@pytest.mark.parametrize(
    ("depth", "zipped"), [("", True), ("onet", True), ("taxonomies/onet", True), ("", False), ("onet", False)]
)
def test_a_zip_and_a_folder_are_found_and_give_the_same(tmp_path, depth, zipped):
    write(tmp_path / "reference")
    write(tmp_path / "data" / depth, zipped=zipped)
    for spec in SPECS:
        name = spec.name.removeprefix("onet_")
        found, reference = load(name, tmp_path / "data"), load(name, tmp_path / "reference")
        assert relevant(found) == relevant(reference)
        assert (found.targets, found.origin, found.notes) == (reference.targets, reference.origin, reference.notes)


def test_the_layout_since_30_3_gives_the_same(tmp_path):
    write(tmp_path / "old")
    write(tmp_path / "new", "30_3", files=files_since_30_3())
    for spec in SPECS:
        name = spec.name.removeprefix("onet_")
        old, new = load(name, tmp_path / "old"), load(name, tmp_path / "new")
        assert relevant(new) == relevant(old)
        assert (new.targets, new.notes, new.origin) == (old.targets, old.notes, "O*NET 30.3")


def test_the_newest_version_of_the_first_folder_that_has_one_is_used(tmp_path):
    (tmp_path / "none").mkdir()
    write(tmp_path / "first", "9_3")
    write(tmp_path / "first", "30_0", zipped=False)
    write(tmp_path / "first", "29_10")
    write(tmp_path / "second", "31_0")
    assert (
        load("title_to_occupation", tmp_path / "none", tmp_path / "first", tmp_path / "second").origin == "O*NET 30.0"
    )


def test_other_zips_are_ignored(tmp_path):
    write(tmp_path)
    (tmp_path / "a.zip").write_bytes(b"no zip")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("skills_en.csv", "conceptUri\n")
    assert load("title_to_occupation", tmp_path).origin == "O*NET 29.3"


def test_missing_data_is_reported_with_its_origin(tmp_path):
    for folders, place in (((tmp_path,), str(tmp_path)), ((), "none was named")):
        with pytest.raises(TaskDataMissing, match=r"https://www\.onetcenter\.org/database\.html") as raised:
            load("title_to_occupation", *folders)
        assert place in str(raised.value)
        assert "\n" not in str(raised.value)


def test_a_missing_file_stops_only_its_own_tasks(tmp_path):
    write(tmp_path, **{"Technology Skills.txt": None})
    with pytest.raises(
        TaskDataMissing, match=r"O\*NET 29\.3 in .*db_29_3_text\.zip has no file 'Technology Skills\.txt'"
    ):
        load("occupation_to_technology", tmp_path)
    assert load("occupation_to_activity", tmp_path).queries


def test_broken_files_are_reported(tmp_path):
    changes = {"Alternate Titles.txt": [("O*NET-SOC Code", "Title"), ("11-1011.00", "President")]}
    write(tmp_path / "columns", **changes)
    with pytest.raises(UserError, match=r"Alternate Titles\.txt has no column 'Alternate Title'"):
        load("title_to_occupation", tmp_path / "columns")
    write(tmp_path / "rows", **{"DWA Reference.txt": [*FILES["DWA Reference.txt"], ("4",)]})
    with pytest.raises(UserError, match=r"DWA Reference\.txt, line 6: found 1 fields"):
        load("task_to_activity", tmp_path / "rows")
    write(tmp_path / "twice", **{"DWA Reference.txt": [*FILES["DWA Reference.txt"], ("4", "I1", "D04", "Fly.")]})
    with pytest.raises(UserError, match=r"'D04' has two texts, 'Weld.' and 'Fly.'"):
        load("task_to_activity", tmp_path / "twice")
    path = write(tmp_path / "damaged")
    damage(path, "Alternate Titles.txt")
    with pytest.raises(UserError, match=r"is damaged in 'Alternate Titles\.txt'.*Download it again"):
        load("title_to_occupation", tmp_path / "damaged")


def test_rows_with_unknown_codes_are_counted_and_many_are_refused(tmp_path):
    rows = FILES["Tasks to DWAs.txt"]
    many = [*rows, *rows[1:], *rows[1:]]
    write(tmp_path / "few", **{"Tasks to DWAs.txt": [*many, ("11-1011.00", "1", "D99", "")]})
    note = "1 of 13 rows of Tasks to DWAs.txt with codes that the release lacks left out"
    assert note in load("occupation_to_activity", tmp_path / "few").notes
    write(tmp_path / "many", **{"Tasks to DWAs.txt": [*rows, ("99-9999.00", "9", "D01", "")]})
    with pytest.raises(UserError, match=r"1 of 5 rows of Tasks to DWAs\.txt in .* are not of one release"):
        load("occupation_to_activity", tmp_path / "many")
