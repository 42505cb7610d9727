"""Declarations of tasks in the catalogue, and where their data is searched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from uwe_jax.evaluation.tasks.task import RankingTask, make_task
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.folders import check_folder


class TaskDataMissing(UserError):
    """A task's data was not found. The message is one line: what was searched for, and where to get it."""


@dataclass(frozen=True)
class TaskSources:
    """Places that are searched for the data of tasks.

    Attributes:
      folders: the user's, searched first and in this order.
      cache_dir: its subfolder tfds holds the datasets prepared from the hub.
      esco_version: such as 1.1.1; empty takes the newest complete one.
      language: code of the labels' language, as in skills_en.csv.
      offline: never access the hub.

    Raises:
      UserError: a folder does not exist.
    """

    folders: tuple[Path, ...]
    cache_dir: Path
    esco_version: str = ""
    language: str = "en"
    offline: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "folders", tuple(folder.expanduser() for folder in self.folders))
        for folder in self.folders:
            check_folder(folder, "Expected a folder with the data of tasks, such as ESCO's zips.")

    @property
    def listed(self) -> str:
        """The folders, for messages."""
        return ", ".join(map(str, self.folders)) or "any folder: none was named"


@dataclass(frozen=True)
class TaskSpec:
    """One task of the catalogue. `name`, `title`, `group` and kinds are those of its `RankingTask`.

    Attributes:
      kinds: of queries and targets.
      splits: published ones, such as validation and test, or all where the task is not split.
      load: reads one split. Raises `TaskDataMissing` for absent data, UserError for broken data.
      where: one line that says where to get the data.
    """

    name: str
    title: str
    group: str
    kinds: tuple[str, str]
    splits: tuple[str, ...]
    load: Callable[[TaskSources, str], RankingTask]
    where: str


@dataclass(frozen=True)
class TaskContent:
    """Texts of one split. The fields are those of `make_task`."""

    pairs: Sequence[tuple[str, Sequence[str]]]
    targets: Sequence[str]
    origin: str
    notes: Sequence[str] = ()
    merge_queries: bool = True


def declare(
    name: str,
    title: str,
    group: str,
    kinds: tuple[str, str],
    splits: tuple[str, ...],
    read: Callable[[TaskSources, str], TaskContent],
    where: str,
) -> TaskSpec:
    """Declares a task by the reader of its splits; the other fields are those of `TaskSpec`."""

    def load(sources: TaskSources, split: str) -> RankingTask:
        return make_task(name, title, group=group, split=split, kinds=kinds, **vars(read(sources, split)))

    return TaskSpec(name, title, group, kinds, splits, load, where)
