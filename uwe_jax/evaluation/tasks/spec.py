"""Declarations of tasks by name, and where their data is searched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
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
class TaskContent:
    """Texts of one split. The fields are those of `make_task`."""

    pairs: Iterable[tuple[str, Sequence[str]]]
    targets: Iterable[str]
    origin: str
    notes: Sequence[str] = ()
    merge_queries: bool = True


@dataclass(frozen=True)
class TaskSpec:
    """A task by name. `name`, `title`, `group` and kinds are those of its `RankingTask`.

    Attributes:
      kinds: of queries and targets.
      splits: published ones, such as validation and test, or all where the task is not split.
      read: reads one split.
      where: one line that says where to get the data.
    """

    name: str
    title: str
    group: str
    kinds: tuple[str, str]
    splits: tuple[str, ...]
    read: Callable[[TaskSources, str], TaskContent]
    where: str

    def load(self, sources: TaskSources, split: str) -> RankingTask:
        """Reads one split as a task. Raises `TaskDataMissing` for absent data, UserError for broken data."""
        content = vars(self.read(sources, split))
        return make_task(self.name, self.title, group=self.group, split=split, kinds=self.kinds, **content)
