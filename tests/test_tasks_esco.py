"""The tasks whose targets are ESCO's labels: what each reads, where it looks, and how it is split."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from esco_downloads import OCCUPATION, OCCUPATIONS, RELATIONS, SKILL, classification, relations, write_release
from esco_downloads import write_zip as write_esco
from task_data import JOBBERT, HubInMemory, load, missing, relevant, write, write_titles

from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.esco import reader

OTHER_SKILLS = [(SKILL + "2", "plan shifts", ""), (SKILL + "3", "haute cuisine", "")]


@pytest.fixture
def hub(monkeypatch):
    return HubInMemory(monkeypatch)


# --- relations ---


def test_relations_give_both_directions_over_the_full_vocabulary(tmp_path):
    jobs = [*OCCUPATIONS, (OCCUPATION + "c", "idler", "")]
    skills = [(SKILL + "1", "weld metal", ""), (SKILL + "2", "plan shifts ", ""), (SKILL + "3", "cook", "")]
    skills += [(SKILL + "4", "whistle", ""), (SKILL + "5", "", "nameless in this language")]
    write_release(tmp_path / "downloads" / "esco", skills=skills, occupations=jobs)
    needs = load("job_to_skill", tmp_path)
    pairs = {("welder", "weld metal"), ("welder", "plan shifts"), ("head chef", "plan shifts"), ("head chef", "cook")}
    assert relevant(needs) == pairs
    assert needs.targets == ("cook", "plan shifts", "weld metal", "whistle")
    assert (needs.query_kind, needs.target_kind, needs.origin) == ("job", "skill", "ESCO v1.1.1 (en)")
    nameless = "1 of 5 concepts in skills_en.csv without a preferred label"
    assert needs.notes == (nameless, "1 query without a relevant target left out")
    needed = load("skill_to_job", tmp_path)
    assert relevant(needed) == {(skill, job) for job, skill in pairs}
    assert needed.targets == ("head chef", "idler", "welder")
    assert (needed.query_kind, needed.target_kind) == ("skill", "job")


def test_relations_of_withdrawn_concepts_are_counted(tmp_path):
    rows = [*RELATIONS * 5, (OCCUPATION + "gone", "optional", SKILL + "1")]
    write_esco(tmp_path, "1.2.0", "en", classification() | relations(rows, "occupationSkillRelations_en.csv"))
    write_release(tmp_path, "1.1.1")
    task = load("job_to_skill", tmp_path)
    assert task.origin == "ESCO v1.2.0 (en)"
    assert task.notes == ("1 of 21 relations of a concept that the classification does not hold",)
    assert load("job_to_skill", tmp_path, esco_version="v1.1.1").notes == ()
    assert "No ESCO v1.3 with skills_en.csv" in missing("job_to_skill", tmp_path, esco_version="v1.3")


def test_the_first_complete_folder_is_used(tmp_path):
    write_esco(tmp_path / "half", "1.2.0", "en", classification())
    write_release(tmp_path / "first", "1.1.0")
    write_release(tmp_path / "second", "1.1.1")
    folders = tuple(tmp_path / name for name in ("half", "first", "second"))
    assert load("job_to_skill", tmp_path, folders=folders).origin == "ESCO v1.1.0 (en)"
    assert load("skill_normalisation", tmp_path, folders=folders).origin == "ESCO v1.2.0 (en)"


def test_a_version_is_stated_by_any_folder_around_the_files(tmp_path):
    for version in ("1.1.0", "1.2.0"):
        for name, content in (classification() | relations()).items():
            write(tmp_path / f"ESCO v{version}" / "csv" / name, content.replace("haute", f"haute {version}"))
    task = load("job_to_skill", tmp_path)
    assert task.origin == "ESCO v1.2.0 (en)"
    assert "haute 1.2.0 cuisine" in task.targets


def test_each_file_is_read_once_for_all_tasks(tmp_path, monkeypatch):
    write_release(tmp_path)
    read = []
    plain = reader.read_table
    monkeypatch.setattr(
        reader, "read_table", lambda data, name, **options: read.append(name) or plain(data, name, **options)
    )
    write_titles(tmp_path / "titles.csv", ("Welder", OCCUPATION + "a"))
    load("job_normalisation", tmp_path, "validation")
    for name in ("job_to_skill", "skill_to_job", "skill_normalisation"):
        load(name, tmp_path)
    assert sorted(read) == ["occupationSkillRelations.csv", "occupations_en.csv", "skills_en.csv"]
    # Files written anew are read anew.
    write_release(tmp_path, skills=[(SKILL + "1", "solder", ""), *OTHER_SKILLS])
    assert "solder" in load("job_to_skill", tmp_path).targets


def test_skills_of_vacancies_are_for_validation(tmp_path, hub):
    write_release(tmp_path)
    hub.datasets["TechWolf/vacancy-job-to-skill", "validation"] = [
        ("Chef (m/f)", ["plan  shifts", "haute cuisine", "a skill of ESCO 1.2.0"]),
        ("Chef (m/f)", ["plan shifts"]),
        ("Dreamer", ["a skill of ESCO 1.2.0"]),
    ]
    tagged = load("job_to_skill", tmp_path, "validation")
    assert tagged.queries == ("Chef (m/f)", "Chef (m/f)")  # a vacancy is a query
    assert tagged.relevant.sum(axis=1).tolist() == [2, 1]
    assert tagged.targets == load("job_to_skill", tmp_path).targets
    assert tagged.origin == "TechWolf/vacancy-job-to-skill at 7d5a; skills of ESCO v1.1.1 (en)"
    inverted = load("skill_to_job", tmp_path, "validation")
    assert inverted.targets == ("Chef (m/f)", "Dreamer")
    assert relevant(inverted) == {("plan shifts", "Chef (m/f)"), ("haute cuisine", "Chef (m/f)")}
    assert inverted.notes == ("1 label not among the skills of ESCO v1.1.1 (en) left out",)
    write_esco(tmp_path, "1.1.1", "de", classification(language="de"))
    assert "has English labels only" in missing("job_to_skill", tmp_path, "validation", language="de")
    assert load("job_to_skill", tmp_path, language="de").origin == "ESCO v1.1.1 (de)"


# --- normalisation ---


def test_titles_are_mapped_by_uri_and_every_row_is_a_query(tmp_path):
    write_release(tmp_path / "esco")
    titles = (("Welder II", OCCUPATION + "a"), ("Welder II", OCCUPATION + "b"), ("Gone", OCCUPATION + "gone"))
    write_titles(tmp_path / "workbench" / "jobbert" / "titles.csv", *titles)
    task = load("job_normalisation", tmp_path, "validation")
    assert task.queries == ("Welder II", "Welder II")
    assert [task.targets[y] for y in task.relevant.indices] == ["welder", "head chef"]
    assert task.notes == ("1 query without a relevant target left out",)
    assert task.origin == "workbench/jobbert/titles.csv; occupations of ESCO v1.1.1 (en)"
    assert task.split == "validation"


@pytest.mark.parametrize("name", ["titles_test.csv", "Test/titles.csv", f"{JOBBERT.split('/')[1]}/test/titles.csv"])
def test_a_name_that_states_test_is_the_test_split(tmp_path, name):
    write_release(tmp_path)
    write_titles(tmp_path / name, ("Smith", OCCUPATION + "a"))
    assert load("job_normalisation", tmp_path).queries == ("Smith",)
    assert "holds the validation split" in missing("job_normalisation", tmp_path, "validation")


def test_names_that_do_not_state_a_split(tmp_path):
    # "latest" is no test, the publisher's name no evaluation, and the user's own folder may be called anything.
    write_release(tmp_path / "test")
    write_titles(tmp_path / "test" / "latest" / JOBBERT.split("/")[1] / "titles.csv", ("Smith", OCCUPATION + "a"))
    assert load("job_normalisation", tmp_path / "test", "validation").queries == ("Smith",)


def test_the_hub_is_used_after_the_folders_and_named(tmp_path, hub):
    write_release(tmp_path)
    write_titles(tmp_path / "titles.csv", ("Welder II", OCCUPATION + "a"))
    load("job_normalisation", tmp_path, "validation")
    assert hub.asked == []
    hub.datasets[JOBBERT, "test"] = [
        ("Chef", OCCUPATION + "b", "another label"),
        ("Fitter", "http://moved", "welder"),
        ("Jester", "http://moved", "court jester"),
    ]
    task = load("job_normalisation", tmp_path)
    assert relevant(task) == {("Chef", "head chef"), ("Fitter", "welder")}  # by URI, else by label
    assert task.origin == f"{JOBBERT} at 7d5a; occupations of ESCO v1.1.1 (en)"


def test_a_copy_of_the_hubs_file_is_read(tmp_path):
    write_release(tmp_path)
    columns = {"vacancy_job_title": ["Chef"], "esco_URI": [OCCUPATION + "b"], "esco_job_title": ["head chef"]}
    (tmp_path / "data").mkdir()
    pq.write_table(pa.table(columns), tmp_path / "data" / "test-00000-of-00001.parquet")
    assert relevant(load("job_normalisation", tmp_path)) == {("Chef", "head chef")}
    # Of which split it is must be said: only the authors' own layout is known to be the validation half.
    (tmp_path / "data" / "test-00000-of-00001.parquet").rename(tmp_path / "data" / "titles.parquet")
    for split in ("test", "validation"):
        assert f"holds the {split} split, by its name or its folder's" in missing("job_normalisation", tmp_path, split)


def test_two_files_that_differ_are_refused(tmp_path):
    write_release(tmp_path)
    for name in ("a/titles.csv", "b/titles.csv"):
        write_titles(tmp_path / name, ("Smith", OCCUPATION + "a"))
    assert load("job_normalisation", tmp_path, "validation").queries == ("Smith",)  # a copy does no harm
    write_titles(tmp_path / "b" / "titles.csv", ("Baker", OCCUPATION + "a"))
    with pytest.raises(UserError, match=r"2 files in .* hold the validation split of .*: a/titles.csv, b/titles.csv"):
        load("job_normalisation", tmp_path, "validation")
    (tmp_path / "b").rename(tmp_path / ".trash")  # hidden folders hold old copies
    assert load("job_normalisation", tmp_path, "validation").queries == ("Smith",)


def test_broken_rows_are_reported_by_line(tmp_path):
    write_release(tmp_path)
    write(tmp_path / "titles.csv", "vacancyTitle,conceptUri\nSmith\n")
    with pytest.raises(UserError, match=r"titles.csv, line 2: found 1 fields"):
        load("job_normalisation", tmp_path, "validation")


def test_alternatives_are_split_so_that_every_skill_has_one_for_validation(tmp_path):
    skills = [
        (SKILL + "1", "weld metal", "weld metal\njoin metal\nWeld metal\nsolder"),
        (SKILL + "2", "plan shifts", "schedule staff\njoin metal\nroster"),
        (SKILL + "3", "join pipes", "solder\nplumb"),
        (SKILL + "4", "whistle", ""),
    ]
    write_esco(tmp_path, "1.1.1", "en", classification(skills))
    validation = load("skill_normalisation", tmp_path, "validation")
    assert relevant(validation) == {
        ("join metal", "weld metal"),
        ("join metal", "plan shifts"),
        # "join metal" came first for both skills, and "solder" first for the third alone
        ("solder", "weld metal"),
        ("solder", "join pipes"),
    }
    test = load("skill_normalisation", tmp_path)
    assert relevant(test) == {
        ("Weld metal", "weld metal"),  # equal but for case: an alternative as any other
        ("schedule staff", "plan shifts"),
        ("roster", "plan shifts"),
        ("plumb", "join pipes"),
    }
    assert test.targets == validation.targets == ("join pipes", "plan shifts", "weld metal", "whistle")


def test_a_release_without_alternatives_is_reported(tmp_path):
    write_esco(tmp_path, "1.1.1", "en", {"skills_en.csv": "conceptUri,preferredLabel\na,b\n"})
    with pytest.raises(UserError, match=r"skills_en\.csv has no column 'altLabels'"):
        load("skill_normalisation", tmp_path)
    # Some languages have none, or one a skill: that must not stop the other tasks.
    for alternatives, count in (("", 0), ("join metal", 1)):
        write_esco(tmp_path, "1.1.1", "en", classification([(SKILL + "1", "weld metal", alternatives), *OTHER_SKILLS]))
        expected = f"ESCO v1.1.1 (en) has {count} alternative labels, none of them for the test split"
        assert expected in missing("skill_normalisation", tmp_path)
