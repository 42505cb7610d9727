"""Ranking tasks from Python: of one's own texts, or as they were built before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from uwe_jax.evaluation.tasks.task import RankingTask, TaskContent, TaskSources, TaskSpec
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.kinds import NODE_KINDS, SKILL
from uwe_jax.runtime.settings import one_of


def ranking_task(
    name: str,
    queries: Mapping[str, Sequence[str] | Mapping[str, int]],
    targets: Iterable[str] = (),
    *,
    title: str = "",
    query_kind: str = "vacancy",
    target_kind: str = SKILL,
    threshold: int = 1,
) -> TaskSpec:
    """Declares a task of one's own.

    Args:
      name: identifies the task.
      queries: the relevant targets of every query, or their grades, whole numbers from 0, by target.
      targets: the target space; without it, all relevant targets.
      title: shown in tables; empty takes the name.
      query_kind, target_kind: of skill, job, vacancy and alias.
      threshold: least grade that binary metrics count.

    Raises:
      UserError: an unknown kind, or grades of some queries alone. Loading the task raises it if nothing can be ranked,
        or there are fewer than two targets.
    """
    for side, kind in (("query_kind", query_kind), ("target_kind", target_kind)):
        one_of(side, kind, NODE_KINDS)
    space = list(targets) or [target for relevant in queries.values() for target in relevant]
    graded = [relevant for relevant in queries.values() if isinstance(relevant, Mapping)]
    if graded and len(graded) < len(queries):
        raise UserError(
            f"{len(graded)} of {len(queries)} queries of {name} have grades. Give grades to all, or to none."
        )
    if threshold != 1 and not graded:
        raise UserError(f"threshold is {threshold}, and {name} has no grades, which it applies to. Leave it out.")
    content = TaskContent(
        [(query, list(relevant)) for query, relevant in queries.items()],
        space,
        f"{name}, given from Python",
        merge_queries=False,
        threshold=threshold,
        grades=[list(relevant.values()) for relevant in graded],
    )
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
