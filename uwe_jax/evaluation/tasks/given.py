"""Ranking tasks from Python: of one's own texts, or as they were built before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from uwe_jax.evaluation.tasks.task import RankingTask, TaskContent, TaskSources, TaskSpec
from uwe_jax.runtime.kinds import NODE_KINDS, SKILL
from uwe_jax.runtime.settings import one_of


def ranking_task(
    name: str,
    queries: Mapping[str, Sequence[str]],
    targets: Iterable[str] = (),
    *,
    title: str = "",
    query_kind: str = "vacancy",
    target_kind: str = SKILL,
) -> TaskSpec:
    """Declares a task of one's own.

    Args:
      name: identifies the task.
      queries: the relevant targets of every query.
      targets: the target space; without it, all relevant targets.
      title: shown in tables; empty takes the name.
      query_kind, target_kind: of skill, job, vacancy and alias.

    Raises:
      UserError: an unknown kind. Loading the task raises it if nothing can be ranked, or there are fewer than two
        targets.
    """
    for side, kind in (("query_kind", query_kind), ("target_kind", target_kind)):
        one_of(side, kind, NODE_KINDS)
    space = list(targets) or [target for relevant in queries.values() for target in relevant]
    content = TaskContent(list(queries.items()), space, f"{name}, given from Python", merge_queries=False)
    kinds, where = (query_kind, target_kind), "Python"
    return TaskSpec(name, title or name, "", kinds, ("all",), lambda sources, split: content, where)


@dataclass(frozen=True)
class _Built(TaskSpec):
    """A task that exists already, whatever split is asked for."""

    task: RankingTask | None = None

    def load(self, sources: TaskSources, split: str) -> RankingTask:
        """Returns the task."""
        assert self.task is not None
        return self.task


def _unread(sources: TaskSources, split: str) -> TaskContent:
    raise NotImplementedError


def as_spec(task: RankingTask) -> TaskSpec:
    """Wraps a task as its own declaration."""
    kinds = (task.query_kind, task.target_kind)
    return _Built(task.name, task.title, task.group, kinds, ("all",), _unread, "Python", task=task)
