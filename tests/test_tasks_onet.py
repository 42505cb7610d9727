"""O*NET from its text download: what becomes a query, a target and an edge, and how the files are found."""

import zipfile
from pathlib import Path

import pytest
from task_data import relevant

from uwe_jax.base.errors import UserError
from uwe_jax.data.tasks.onet import SPECS
from uwe_jax.data.tasks.spec import TaskDataMissing, TaskSources
from uwe_jax.data.tasks.task import RankingTask

LOAD = {spec.name: spec.load for spec in SPECS}

# The columns stand in another order than in the official files: they are found by name.
FILES = {
    "Occupation Data.txt": [
        ("Title", "O*NET-SOC Code", "Description"),
        ("Chief Executives", "11-1011.00", "Determine policies."),
        ("Head Cooks", "35-1011.00", 'Lead the "line".'),
        ("Welders", "51-4121.00", ""),
    ],
    "Alternate Titles.txt": [
        ("O*NET-SOC Code", "Alternate Title", "Short Title", "Source(s)"),
        ("11-1011.00", "President", "", "08"),
        ("35-1011.00", "Executive  Chef", "Chef", "08"),
        ("35-1011.00", "Manager", "", "08"),
        ("11-1011.00", "Manager", "", "08"),
        ("35-1011.00", "head cooks", "", "08"),
        ("11-1011.00", "Welders", "", "08"),
    ],
    "Sample of Reported Titles.txt": [
        ("O*NET-SOC Code", "Reported Job Title", "Shown in My Next Move"),
        ("35-1011.00", "Sous Chef", "Y"),
    ],
    "Technology Skills.txt": [
        ("O*NET-SOC Code", "Example", "Commodity Code", "Commodity Title", "Hot Technology", "In Demand"),
        ("11-1011.00", "AdSense Tracker", "43232306", "Data base software", "N", "N"),
        ("35-1011.00", "Point of sale software", "43232306", "Sales software", "N", "N"),
        ("11-1011.00", "Point of sale software", "43232306", "Sales software", "N", "N"),
    ],
    "Task Statements.txt": [
        ("O*NET-SOC Code", "Task ID", "Task", "Task Type"),
        ("11-1011.00", "1", "Direct financial activities.", "Core"),
        ("35-1011.00", "2", '"Plan ""daily"" menus."', "Core"),
        ("35-1011.00", "3", "Taste dishes.", "Core"),
        ("51-4121.00", "4", "Direct financial activities.", "Core"),
    ],
    "Tasks to DWAs.txt": [
        ("O*NET-SOC Code", "Task ID", "DWA ID", "Date"),
        ("11-1011.00", "1", "D01", "07/2014"),
        ("11-1011.00", "1", "D02", "07/2014"),
        ("35-1011.00", "2", "D03", "07/2014"),
        ("51-4121.00", "4", "D03", "07/2014"),
    ],
    "DWA Reference.txt": [
        ("Element ID", "IWA ID", "DWA ID", "DWA Title"),
        ("4", "I1", "D01", "Direct financial operations."),
        ("4", "I1", "D02", "Manage budgets."),
        ("4", "I1", "D03", "Plan menu options."),
        ("4", "I1", "D04", "Weld."),
    ],
}


def write(folder: Path, version: str = "29_3", zipped: bool = True, **changes: list | None) -> Path:
    """The text download, as zip or unzipped; `changes` replace files by name, None leaves one out."""
    tables = {name: rows for name, rows in (FILES | changes).items() if rows is not None}
    texts = {name: "".join("\t".join(row) + "\r\n" for row in rows) for name, rows in tables.items()}
    inside = f"db_{version}_text"
    (folder if zipped else folder / inside).mkdir(parents=True, exist_ok=True)
    if not zipped:
        for name, text in texts.items():
            (folder / inside / name).write_text(text, newline="")
        return folder / inside
    path = folder / f"{inside}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            archive.writestr(f"{inside}/{name}", text)
    return path


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
    assert task.notes == ("2 alternate titles that equal the title of an occupation left out",)
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
    assert task.notes == ("1 queries without a relevant target left out",)


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


def test_none_counts_for_workbench_and_none_is_split():
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


def test_the_newest_version_of_the_first_folder_that_has_one_counts(tmp_path):
    (tmp_path / "none").mkdir()
    write(tmp_path / "first", "9_3")
    write(tmp_path / "first", "30_0", zipped=False)
    write(tmp_path / "first", "29_10")
    write(tmp_path / "second", "31_0")
    assert (
        load("title_to_occupation", tmp_path / "none", tmp_path / "first", tmp_path / "second").origin == "O*NET 30.0"
    )


def test_zips_of_others_are_passed_over(tmp_path):
    write(tmp_path)
    (tmp_path / "a.zip").write_bytes(b"no zip")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("skills_en.csv", "conceptUri\n")
    assert load("title_to_occupation", tmp_path).origin == "O*NET 29.3"


def test_what_is_not_there_says_where_to_get_it(tmp_path):
    for folders, place in (((tmp_path,), str(tmp_path)), ((), "none was named")):
        with pytest.raises(TaskDataMissing, match=r"https://www\.onetcenter\.org/database\.html") as raised:
            load("title_to_occupation", *folders)
        assert place in str(raised.value)
        assert "\n" not in str(raised.value)


def test_a_file_that_the_release_lacks_stops_its_tasks_alone(tmp_path):
    write(tmp_path, **{"Technology Skills.txt": None})
    with pytest.raises(
        TaskDataMissing, match=r"O\*NET 29\.3 in .*db_29_3_text\.zip has no file 'Technology Skills\.txt'"
    ):
        load("occupation_to_technology", tmp_path)
    assert load("occupation_to_activity", tmp_path).queries


def test_broken_files_are_named(tmp_path):
    changes = {"Alternate Titles.txt": [("O*NET-SOC Code", "Title"), ("11-1011.00", "President")]}
    write(tmp_path / "columns", **changes)
    with pytest.raises(UserError, match=r"Alternate Titles\.txt has no column 'Alternate Title'"):
        load("title_to_occupation", tmp_path / "columns")
    write(tmp_path / "rows", **{"DWA Reference.txt": [*FILES["DWA Reference.txt"], ("4",)]})
    with pytest.raises(UserError, match=r"DWA Reference\.txt, line 6: found 1 fields"):
        load("task_to_activity", tmp_path / "rows")
    path = write(tmp_path / "damaged")
    whole = path.read_bytes()
    start = whole.index(b"Alternate Titles.txt") + len(b"Alternate Titles.txt")
    path.write_bytes(whole[:start] + bytes(value ^ 255 for value in whole[start : start + 9]) + whole[start + 9 :])
    with pytest.raises(UserError, match=r"is damaged in 'Alternate Titles\.txt'.*Download it again"):
        load("title_to_occupation", tmp_path / "damaged")


def test_rows_that_name_what_is_not_there_are_counted_and_many_are_refused(tmp_path):
    rows = FILES["Tasks to DWAs.txt"]
    many = [*rows, *rows[1:], *rows[1:]]
    write(tmp_path / "few", **{"Tasks to DWAs.txt": [*many, ("11-1011.00", "1", "D99", "")]})
    note = "1 of 13 rows of Tasks to DWAs.txt that name what the release does not hold left out"
    assert note in load("occupation_to_activity", tmp_path / "few").notes
    write(tmp_path / "many", **{"Tasks to DWAs.txt": [*rows, ("99-9999.00", "9", "D01", "")]})
    with pytest.raises(UserError, match=r"1 of 5 rows of Tasks to DWAs\.txt in .* are not of one release"):
        load("occupation_to_activity", tmp_path / "many")
