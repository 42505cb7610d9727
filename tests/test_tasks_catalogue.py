"""The catalogue: which tasks there are, which are chosen, and what is said where their data is not there."""

import os
from pathlib import Path

import pytest
from esco_downloads import OCCUPATION, write_release
from task_data import JOBBERT, HubInMemory, sources_of, write_titles

from uwe_jax.evaluation.tasks import catalogue
from uwe_jax.evaluation.tasks.catalogue import CATALOGUE, EVERY, SETS, choose, load_tasks
from uwe_jax.evaluation.tasks.task import GROUPS, TaskSources
from uwe_jax.runtime.errors import UserError


@pytest.fixture
def hub(monkeypatch):
    return HubInMemory(monkeypatch)


def test_the_catalogue_holds_workbench_in_the_papers_order(tmp_path):
    groups = [CATALOGUE[name].group for name in SETS["workbench"]]
    assert list(dict.fromkeys(groups)) == list(GROUPS)
    assert groups.count("skill_extraction") == 3
    assert not any(CATALOGUE[name].group for name in SETS["zero_shot"])
    assert SETS["all"][: len(groups)] == SETS["workbench"]
    assert not any(EVERY[name].group for name in EVERY.keys() - {*SETS["workbench"]})
    for name, spec in EVERY.items():
        assert spec.name == name
        assert set(spec.splits) <= set(catalogue.SPLITS)
        assert "\n" not in spec.where


def test_names_and_sets_are_chosen_once_in_order():
    names = [spec.name for spec in choose(["skill_similarity", "workbench", "job_to_skill"])]
    assert names == ["skill_similarity", *SETS["workbench"][:-1]]
    with pytest.raises(UserError, match=r"no task 'job_to_skil'. Did you mean 'job_to_skill'\? Expected .*workbench.*"):
        choose(["job_to_skil"])


def test_any_takes_test_else_validation_with_a_note(tmp_path, hub):
    write_release(tmp_path)
    write_titles(tmp_path / "titles.csv", ("Smith", OCCUPATION + "a"))
    (fallen, own), skipped = load_tasks(
        choose(["job_normalisation", "job_to_skill", "skill_similarity"]), sources_of(tmp_path), "any"
    )
    assert (fallen.split, own.split) == ("validation", "test")
    assert fallen.notes == ("the validation split, as the test split is not there",)
    assert own.notes == ()
    assert [task.task for task in skipped] == ["skill_similarity"]
    (strict,) = load_tasks(choose(["job_normalisation"]), sources_of(tmp_path), "test")[1]
    assert strict.reason == (
        "No file with the columns vacancyTitle, conceptUri or vacancy_job_title, esco_URI, esco_job_title holds the "
        f"test split, by its name or its folder's, in {tmp_path}. {JOBBERT} (test) cannot be downloaded."
    )


def test_a_split_that_is_not_published_is_skipped(tmp_path):
    tasks, (skipped,) = load_tasks(choose(["skill_similarity"]), sources_of(tmp_path), "validation")
    assert tasks == []
    assert skipped.reason == "Its publisher has no validation split, only test."


def test_without_data_every_task_is_skipped_with_one_line(tmp_path):
    for folders in ((tmp_path,), ()):
        tasks, skipped = load_tasks(choose(["workbench"]), sources_of(tmp_path, folders=folders), "any")
        assert tasks == []
        assert [task.task for task in skipped] == list(SETS["workbench"])
        for task in skipped:
            assert "\n" not in task.reason
            assert "https://" in task.reason
            assert (str(tmp_path) if folders else "any folder: none was named") in task.reason


def test_broken_data_is_an_error(tmp_path):
    write_release(tmp_path)
    next(tmp_path.glob("*- en -*.zip")).write_bytes(b"half a zip")
    with pytest.raises(UserError, match="is not a readable zip file"):
        load_tasks(choose(["job_to_skill"]), sources_of(tmp_path), "test")


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
        ("skill_extraction_tech", "validation"): (75, 13_891, 131),
        ("skill_extraction_house", "validation"): (61, 13_891, 131),
    }
    assert expected.items() <= counts.items()
