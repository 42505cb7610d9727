"""Reading tasks of the catalogue from a folder of a test, and a hub that lies in memory."""

from pathlib import Path

import pytest
from esco_downloads import table

from uwe_jax.evaluation.tasks import collection
from uwe_jax.evaluation.tasks.catalogue import CATALOGUE
from uwe_jax.evaluation.tasks.folder import task_folder
from uwe_jax.evaluation.tasks.task import RankingTask, TaskContent, TaskDataMissing, TaskSources, TaskSpec
from uwe_jax.sources.hub.dataset import DataMissing

JOBBERT = "TechWolf/JobBERT-evaluation-dataset"


def sources_of(folder: Path, **changes) -> TaskSources:
    return TaskSources(**{"folders": (folder,), "cache_dir": folder / "cache", "offline": True, **changes})


def load(name: str, folder: Path, split: str = "test", **changes) -> RankingTask:
    return CATALOGUE[name].load(sources_of(folder, **changes), split)


def read_task_folder(folder: Path) -> RankingTask:
    """The task in a user's folder."""
    return task_folder(folder).load(sources_of(folder), "all")


def make_task(name, title, *, split, kinds, **content) -> RankingTask:
    """A task of these texts."""
    spec = TaskSpec(name, title, "", kinds, (split,), lambda *_: TaskContent(**content), "a test")
    return spec.load(TaskSources((), Path()), split)


def missing(name: str, folder: Path, split: str = "test", **changes) -> str:
    """What is said where the data is not there."""
    with pytest.raises(TaskDataMissing) as raised:
        load(name, folder, split, **changes)
    return str(raised.value)


def relevant(task: RankingTask) -> set[tuple[str, str]]:
    """The relevant pairs of a task, as texts."""
    return {(task.queries[q], task.targets[y]) for q, y in zip(*task.relevant.nonzero(), strict=True)}


def write(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def write_titles(path: Path, *titles: tuple[str, str]) -> Path:
    """Vacancy titles and their URIs in the layout of the authors' own file."""
    rows = [(str(number), *title) for number, title in enumerate(titles)]
    return write(path, table(["", "vacancyTitle", "conceptUri"], rows))


class HubInMemory:
    """Takes the hub's place: rows by repository and split, and what was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.datasets: dict[tuple[str, str], list[tuple]] = {}
        self.asked: list[tuple[str, str]] = []
        monkeypatch.setattr(collection, "load_hub_rows", self._rows)

    def _rows(self, dataset, split, cache_dir, offline):
        self.asked.append((dataset.repo, split))
        if (dataset.repo, split) not in self.datasets:
            raise DataMissing(f"{dataset.repo} ({split}) cannot be downloaded.")
        rows = [dict(zip(dataset.columns, row, strict=True)) for row in self.datasets[dataset.repo, split]]
        return rows, f"{dataset.repo} at 7d5a"
