"""From what a reader finds to the declaration of a task, so that name, kinds and group are said once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from uwe_jax.evaluation.tasks.spec import TaskSources, TaskSpec
from uwe_jax.evaluation.tasks.task import RankingTask, make_task


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
    """A task of the catalogue from a reader of its splits; the fields are those of `TaskSpec`."""

    def load(sources: TaskSources, split: str) -> RankingTask:
        return make_task(name, title, group=group, split=split, kinds=kinds, **vars(read(sources, split)))

    return TaskSpec(name, title, group, kinds, splits, load, where)
