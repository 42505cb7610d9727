"""What the catalogue holds of a task: a small declaration, and the function that reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from uwe_jax.evaluation.tasks.task import RankingTask
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources import folders

DEPTH = folders.DEPTH


class TaskDataMissing(UserError):
    """A task's data is not there. The text is one line: what was looked for, and where to get it."""


@dataclass(frozen=True)
class TaskSources:
    """Where tasks are looked for.

    Attributes:
      folders: of the user, searched first and in this order.
      cache_dir: datasets prepared from the hub go into its folder tfds.
      esco_version: such as 1.1.1; empty takes the newest that has everything.
      language: code of the labels' language, as in skills_en.csv.
      offline: never ask the hub.

    Raises:
      UserError: one of the folders is none.
    """

    folders: tuple[Path, ...]
    cache_dir: Path
    esco_version: str = ""
    language: str = "en"
    offline: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "folders", tuple(folder.expanduser() for folder in self.folders))
        for folder in self.folders:
            folders.check_folder(folder, "Expected a folder with the data of tasks, such as ESCO's zips.")

    @property
    def listed(self) -> str:
        """The folders, for messages."""
        return ", ".join(map(str, self.folders)) or "any folder: none was named"


@dataclass(frozen=True)
class TaskSpec:
    """One task of the catalogue.

    Attributes:
      name: identifies the task, such as job_to_skill.
      title: as tables show it.
      group: of `task.GROUPS`, the headline it counts for; empty for a task beside WorkBench.
      kinds: node kinds of queries and targets.
      splits: that its publisher has, such as validation and test, or all where it is not split.
      load: reads one of the splits. Raises `TaskDataMissing` where the data is not there, UserError where it is
        there and broken.
      where: one line that says where to get the data.
    """

    name: str
    title: str
    group: str
    kinds: tuple[str, str]
    splits: tuple[str, ...]
    load: Callable[[TaskSources, str], RankingTask]
    where: str
