"""WorkBench's tasks and the catalogue: what each reads, where it looks, and what it says where nothing is there."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from esco_downloads import OCCUPATION, OCCUPATIONS, RELATIONS, SKILL, classification, relations, table, write_release
from esco_downloads import write_zip as write_esco

from uwe_jax.base.errors import UserError
from uwe_jax.data.esco import reader
from uwe_jax.data.tasks import catalogue, collection
from uwe_jax.data.tasks.catalogue import CATALOGUE, SETS, choose, load_tasks
from uwe_jax.data.tasks.spec import TaskDataMissing, TaskSources
from uwe_jax.data.tasks.task import GROUPS

JOBBERT = "TechWolf/JobBERT-evaluation-dataset"
OTHER_SKILLS = [(SKILL + "2", "plan shifts", ""), (SKILL + "3", "haute cuisine", "")]


def sources_of(folder, **changes) -> TaskSources:
    return TaskSources(**{"folders": (folder,), "cache_dir": folder / "cache", "offline": True, **changes})


def load(name, folder, split="test", **changes):
    return CATALOGUE[name].load(sources_of(folder, **changes), split)


def relevant(task) -> set[tuple[str, str]]:
    return {(task.queries[q], task.targets[y]) for q, y in zip(*task.relevant.nonzero(), strict=True)}


def missing(name, folder, split="test", **changes) -> str:
    with pytest.raises(TaskDataMissing) as raised:
        load(name, folder, split, **changes)
    return str(raised.value)


def write(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def write_titles(path: Path, *titles: tuple[str, str]) -> Path:
    rows = [(str(number), *title) for number, title in enumerate(titles)]
    return write(path, table(["", "vacancyTitle", "conceptUri"], rows))


@pytest.fixture
def hub(monkeypatch):
    """Rows by repository and split, in place of the hub; the list is what was asked for."""
    datasets, asked = {}, []

    def rows(dataset, split, sources):
        asked.append((dataset.repo, split))
        if (dataset.repo, split) not in datasets:
            raise TaskDataMissing(f"{dataset.repo} ({split}) cannot be downloaded.")
        return [dict(zip(dataset.columns, row, strict=True)) for row in datasets[dataset.repo, split]]

    monkeypatch.setattr(collection, "load_hub_rows", rows)
    monkeypatch.setattr(collection, "hub_origin", lambda dataset, split, sources: f"{dataset.repo} at 7d5a")
    return datasets, asked


# --- ESCO relations ---


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
    nameless = "1 of 5 concepts in skills_en.csv have no preferred label"
    assert needs.notes == (nameless, "1 queries without a relevant target left out")
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
    assert task.notes == ("1 of 21 relations name a concept that the classification does not hold",)
    assert load("job_to_skill", tmp_path, esco_version="1.1.1").notes == ()


def test_the_first_folder_with_everything_counts(tmp_path):
    write_esco(tmp_path / "half", "1.2.0", "en", classification())
    write_release(tmp_path / "first", "1.1.0")
    write_release(tmp_path / "second", "1.1.1")
    folders = tuple(tmp_path / name for name in ("half", "first", "second"))
    assert load("job_to_skill", tmp_path, folders=folders).origin == "ESCO v1.1.0 (en)"
    assert load("skill_normalisation", tmp_path, folders=folders).origin == "ESCO v1.2.0 (en)"


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
    datasets, _ = hub
    datasets["TechWolf/vacancy-job-to-skill", "validation"] = [
        ("Chef (m/f)", ["plan shifts", "haute cuisine", "a skill of ESCO 1.2.0"]),
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
    assert inverted.notes == ("1 labels that are no skill of ESCO v1.1.1 (en) left out",)
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
    assert task.notes == ("1 queries without a relevant target left out",)
    assert task.origin == "workbench/jobbert/titles.csv; occupations of ESCO v1.1.1 (en)"
    assert task.split == "validation"


@pytest.mark.parametrize("name", ["titles_test.csv", "Test/titles.csv", f"{JOBBERT.split('/')[1]}/test/titles.csv"])
def test_a_name_that_says_test_is_the_test_half(tmp_path, name):
    write_release(tmp_path)
    write_titles(tmp_path / name, ("Smith", OCCUPATION + "a"))
    assert load("job_normalisation", tmp_path).queries == ("Smith",)
    assert "holds the validation split" in missing("job_normalisation", tmp_path, "validation")


def test_names_that_do_not_say_a_split(tmp_path):
    # "latest" is no test, the publisher's name no evaluation, and the user's own folder may be called anything.
    write_release(tmp_path / "test")
    write_titles(tmp_path / "test" / "latest" / JOBBERT.split("/")[1] / "titles.csv", ("Smith", OCCUPATION + "a"))
    assert load("job_normalisation", tmp_path / "test", "validation").queries == ("Smith",)


def test_the_hub_is_asked_after_the_folders_and_named(tmp_path, hub):
    datasets, asked = hub
    write_release(tmp_path)
    write_titles(tmp_path / "titles.csv", ("Welder II", OCCUPATION + "a"))
    load("job_normalisation", tmp_path, "validation")
    assert asked == []
    datasets[JOBBERT, "test"] = [
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


def test_two_files_that_differ_are_refused(tmp_path):
    write_release(tmp_path)
    for name in ("a/titles.csv", "b/titles.csv"):
        write_titles(tmp_path / name, ("Smith", OCCUPATION + "a"))
    assert load("job_normalisation", tmp_path, "validation").queries == ("Smith",)  # a copy does no harm
    write_titles(tmp_path / "b" / "titles.csv", ("Baker", OCCUPATION + "a"))
    with pytest.raises(UserError, match=r"2 files in .* hold the validation split of .*: a/titles.csv, b/titles.csv"):
        load("job_normalisation", tmp_path, "validation")


def test_broken_rows_are_named_by_line(tmp_path):
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


def test_a_release_without_alternatives_says_so(tmp_path):
    write_esco(tmp_path, "1.1.1", "en", {"skills_en.csv": "conceptUri,preferredLabel\na,b\n"})
    with pytest.raises(UserError, match=r"skills_en\.csv has no column 'altLabels'"):
        load("skill_normalisation", tmp_path)


# --- annotated sentences and pairs ---

ANNOTATED = """sentence,span,sub_span,label
We weld,weld,,weld metal
We weld,weld,,LABEL NOT PRESENT
"We weld, and plan",plan,,plan shifts
"We weld, and plan",weld,,weld metal
"We weld, and plan",weld,,weld metal
We smile,smile,,UNDERSPECIFIED
"""


@pytest.mark.parametrize("zipped", [False, True])
def test_sentences_are_grouped_and_keep_the_labels_of_the_vocabulary(tmp_path, zipped):
    if zipped:  # comes before the list that its authors publish, which lacks commas
        write_release(tmp_path, "1.1.0")
    write_release(tmp_path, "1.1.1", skills=[(SKILL + "1", "no label of the annotators", ""), *OTHER_SKILLS])
    path = write(tmp_path / "workbench" / "extraction" / "tech_validation_annotations.csv", ANNOTATED)
    write(path.with_name("skills_en_label.txt"), "weld metal\nplan shifts\nplan shifts \n")
    task = load("skill_extraction_tech", tmp_path, "validation", language="de")  # the sentences are English
    assert relevant(task) == {
        ("We weld", "weld metal"),
        ("We weld, and plan", "weld metal"),
        ("We weld, and plan", "plan shifts"),
    }
    origin = "skills of ESCO v1.1.0 (en)" if zipped else "skills_en_label.txt"
    assert task.origin == f"workbench/extraction/tech_validation_annotations.csv; {origin}"
    assert task.targets == (("haute cuisine", "plan shifts", "weld metal") if zipped else ("plan shifts", "weld metal"))
    left_out = ("2 labels that are no target left out", "1 queries without a relevant target left out")
    assert task.notes == (() if zipped else ("1 equal targets joined",)) + left_out


def test_the_sets_are_told_apart_by_name(tmp_path):
    write_release(tmp_path, "1.1.0")
    names = {"tech": "tech_test.csv", "house": "TechWolf--skill-extraction-house/test.csv", "techwolf": "techwolf.csv"}
    for name, file in names.items():
        write(tmp_path / file, f"sentence,label\n{name},weld metal\n")
    for name in names:
        assert load(f"skill_extraction_{name}", tmp_path).queries == (name,)
    assert "whose name says 'tech' holds the validation split" in missing(
        "skill_extraction_tech", tmp_path, "validation"
    )


def test_annotations_without_their_vocabulary(tmp_path):
    write(tmp_path / "tech_test.csv", ANNOTATED)
    write_release(tmp_path, "1.1.1")
    text = missing("skill_extraction_tech", tmp_path)
    assert text.startswith(f"No ESCO v1.1.0 with skills_en.csv in {tmp_path}. Download from https://esco.ec.europa.eu")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_related_skills_are_asked_among_all(tmp_path, suffix):
    rows = [("weld", "solder", 1), ("weld", "sing", 0), ("solder", "join", 1), ("weld", "join", 1)]
    columns = {name: [row[k] for row in rows] for k, name in enumerate(("skill_a", "skill_b", "related"))}
    path = tmp_path / f"skillmatch{suffix}"
    if suffix == ".csv":
        write(path, table(list(columns), [(a, b, str(related)) for a, b, related in rows]))
    elif suffix == ".jsonl":
        lines = [f'{{"skill_a": "{a}", "skill_b": "{b}", "related": {str(bool(r)).lower()}}}\n' for a, b, r in rows]
        write(path, "".join(lines))
    else:
        pq.write_table(pa.table(columns), path)
    task = load("skill_similarity", tmp_path)
    assert task.queries == ("weld", "solder", "weld")
    assert [task.targets[y] for y in task.relevant.indices] == ["solder", "join", "join"]
    assert task.targets == ("join", "sing", "solder", "weld")
    assert task.notes == ("1 pairs that are not related give targets only",)


def test_a_relation_that_is_no_number_is_named(tmp_path):
    write(tmp_path / "pairs.csv", "skill_a,skill_b,related\na,b,1\na,c,maybe\n")
    with pytest.raises(UserError, match=r"pairs.csv, line 3: found related 'maybe'; expected an integer"):
        load("skill_similarity", tmp_path)


# --- the catalogue ---


def test_the_catalogue_holds_workbench_in_the_papers_order(tmp_path):
    groups = [CATALOGUE[name].group for name in SETS["workbench"]]
    assert list(dict.fromkeys(groups)) == list(GROUPS)
    assert groups.count("skill_extraction") == 3
    assert not any(CATALOGUE[name].group for name in SETS["zero_shot"])
    assert SETS["all"] == (*SETS["workbench"], *SETS["zero_shot"]) == tuple(CATALOGUE)
    for name, spec in CATALOGUE.items():
        assert spec.name == name
        assert set(spec.splits) <= set(catalogue.SPLITS)
        assert "\n" not in spec.where


def test_names_and_sets_are_chosen_once_in_order():
    names = [spec.name for spec in choose(["skill_similarity", "workbench", "job_to_skill"])]
    assert names == ["skill_similarity", *SETS["workbench"][:-1]]
    with pytest.raises(UserError, match=r"no task 'job_to_skil'. Did you mean job_to_skill\? Expected .*workbench.*"):
        choose(["job_to_skil"])


def test_any_takes_test_else_validation_and_says_so(tmp_path, hub):
    write_release(tmp_path)
    write_titles(tmp_path / "titles.csv", ("Smith", OCCUPATION + "a"))
    (fallen, own), skipped = load_tasks(
        choose(["job_normalisation", "job_to_skill", "skill_similarity"]), sources_of(tmp_path), "any"
    )
    assert (fallen.split, own.split) == ("validation", "test")
    assert fallen.notes == ("the validation split, as the test split is not there",)
    assert own.notes == ()
    assert [task.name for task in skipped] == ["skill_similarity"]
    (strict,) = load_tasks(choose(["job_normalisation"]), sources_of(tmp_path), "test")[1]
    assert strict.reason == (
        "No file with the columns vacancyTitle, conceptUri or vacancy_job_title, esco_URI, esco_job_title holds the "
        f"test split in {tmp_path}. {JOBBERT} (test) cannot be downloaded."
    )


def test_a_split_that_is_not_published_is_skipped_and_an_unknown_one_refused(tmp_path):
    tasks, (skipped,) = load_tasks(choose(["skill_similarity"]), sources_of(tmp_path), "validation")
    assert tasks == []
    assert skipped.reason == "Its publisher has no validation split, only test."
    with pytest.raises(UserError, match=r"There is no split 'dev'. Expected one of any, test, validation, all"):
        load_tasks([], sources_of(tmp_path), "dev")


def test_nothing_there_skips_every_task_in_one_line_each(tmp_path):
    for folders in ((tmp_path,), ()):
        tasks, skipped = load_tasks(choose(["workbench"]), sources_of(tmp_path, folders=folders), "any")
        assert tasks == []
        assert [task.name for task in skipped] == list(SETS["workbench"])
        for task in skipped:
            assert "\n" not in task.reason
            assert "https://" in task.reason
            assert (str(tmp_path) if folders else "any folder: none was named") in task.reason


def test_data_that_is_there_and_broken_stops(tmp_path):
    write_release(tmp_path)
    next(tmp_path.glob("*- en -*.zip")).write_bytes(b"half a zip")
    with pytest.raises(UserError, match="is no zip that can be read"):
        load_tasks(choose(["job_to_skill"]), sources_of(tmp_path), "test")
    with pytest.raises(UserError, match=r"does not exist\. Expected a folder with the data of tasks"):
        sources_of(tmp_path / "nowhere")


# --- the real thing ---


@pytest.mark.slow
def test_real_counts(tmp_path):
    """ESCO 1.1.1 and 1.1.0, the validation halves of JobBERT, TECH and HOUSE, in the folder of UWE_JAX_DATA_DIR."""
    folder = os.environ.get("UWE_JAX_DATA_DIR")
    if not folder:
        pytest.skip("UWE_JAX_DATA_DIR does not name a folder with ESCO's zips and the annotated sets")
    sources = TaskSources((Path(folder),), tmp_path, esco_version="1.1.1", offline=True)
    counts = {
        (task.name, task.split): (len(task.queries), len(task.targets), task.relevant.nnz)
        for split in ("test", "validation")
        for task in load_tasks(choose(["workbench"]), sources, split)[0]
    }
    expected = {
        ("job_to_skill", "test"): (3_007, 13_896, 123_788),
        ("skill_to_job", "test"): (13_123, 3_007, 123_788),
        ("job_normalisation", "validation"): (15_462, 3_007, 15_462),
        ("skill_normalisation", "test"): (71_463, 13_896, 71_672),
        ("skill_normalisation", "validation"): (13_238, 13_896, 13_552),
        ("skill_extraction_tech", "validation"): (75, 13_896, 131),
        ("skill_extraction_house", "validation"): (61, 13_896, 131),
    }
    assert expected.items() <= counts.items()
