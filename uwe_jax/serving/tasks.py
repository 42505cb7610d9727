"""Tasks for the model, and the served model, which answers several of them at once."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from uwe_jax.retrieval.store.columns import FilterError, Where
from uwe_jax.retrieval.store.searchable import Hit, Searchable
from uwe_jax.runtime.errors import UserError
from uwe_jax.serving.refusals import Refusal

# Numbers of hits that an index is asked for: each is a compiled program, and a hundred take no longer than ten.
_TOP_K = (100, 1000, 10_000)


class Task:
    """A question to the model; tasks of equal groups are answered together, those of group None alone."""

    @property
    def texts(self) -> tuple[str, ...]:
        """Texts to encode."""
        raise NotImplementedError

    @property
    def group(self) -> Hashable:
        """Returns the key that tasks answered together share."""
        return None


@dataclass(frozen=True)
class RankTask(Task):
    """The `top_k` best targets of an index for every query, among those that `where` allows (values by column)."""

    queries: tuple[str, ...]
    space: str
    top_k: int
    where: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """Queries."""
        return self.queries

    @property
    def group(self) -> Hashable:
        """The targets."""
        return self.space, self.where


@dataclass(frozen=True)
class ScoresTask(Task):
    """The score of every query with every target."""

    queries: tuple[str, ...]
    targets: tuple[str, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """Queries and targets."""
        return self.queries + self.targets


@dataclass(frozen=True)
class ExplainTask(Task):
    """An explanation of the score of a query with a target."""

    query: str
    target: str

    @property
    def texts(self) -> tuple[str, ...]:
        """Query and target."""
        return (self.query, self.target)


class ServedModel:
    """A model (a `uwe_jax.retrieval.ranker.Ranker`, imported only when it is loaded) and indexes by name."""

    def __init__(self, ranker: Any, spaces: Mapping[str, Searchable]):
        self.ranker = ranker
        self.spaces = dict(spaces)

    def warm_up(self, batch: int) -> None:
        """Compiles the programs for short queries, alone and up to `batch` at once."""
        for space in self.spaces.values():
            self.ranker.warm_up(space, shared_top_k(1))
            number = 2
            while number <= batch:
                self._rank_each([f"work {each}" for each in range(number)], space, shared_top_k(1))
                number *= 2
        self.ranker.explain("work", "work")

    def answer(self, tasks: Sequence[Any]) -> list[tuple[Any, int]]:
        """Answers tasks of one group, in their order.

        Returns:
          For each task, for every query its hits or an error if it cannot be scored, or scores as lists, or an
          explanation as a dict; and how many of its texts have more tokens than the model reads.

        Raises:
          Refusal: 422 if a text to score or to explain cannot be scored, or no target has a column or value.
        """
        found = self._rank(tasks) if isinstance(tasks[0], RankTask) else [self._score(task) for task in tasks]
        truncated = [self.ranker.loaded.truncation(task.texts).truncated for task in tasks]
        return list(zip(found, truncated, strict=True))

    def _score(self, task: ScoresTask | ExplainTask) -> Any:
        try:
            if isinstance(task, ScoresTask):
                return self.ranker.scores(task.queries, task.targets).tolist()
            return self.ranker.explain(task.query, task.target).to_dict()
        except UserError as error:
            raise Refusal(422, str(error)) from error

    def _rank(self, tasks: Sequence[RankTask]) -> list[list[list[Hit] | UserError]]:
        top_k = shared_top_k(max(task.top_k for task in tasks))
        queries = [query for task in tasks for query in task.queries]
        try:
            found = iter(self._rank_each(queries, self.spaces[tasks[0].space], top_k, dict(tasks[0].where)))
        except FilterError as error:
            raise Refusal(422, str(error)) from error
        return [
            [each if isinstance(each, UserError) else each[: task.top_k] for each in islice(found, len(task.queries))]
            for task in tasks
        ]

    def _rank_each(
        self, queries: Sequence[str], space: Searchable, top_k: int, where: Where = None
    ) -> list[list[Hit] | UserError]:
        return list(self.ranker.rank_each(queries, space, top_k, batch=len(queries), where=where))


def shared_top_k(top_k: int) -> int:
    """Rounds a number of hits up to one for which a program is shared.

    >>> shared_top_k(3), shared_top_k(100), shared_top_k(101)
    (100, 100, 1000)
    """
    return next((each for each in _TOP_K if each >= top_k), top_k)
