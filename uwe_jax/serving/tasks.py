"""What the model is asked, and how it answers several requests at once."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from uwe_jax.data.truncation import Truncation
from uwe_jax.retrieval.store.columns import FilterError, Where
from uwe_jax.retrieval.store.searchable import Hit, Origin, Searchable
from uwe_jax.runtime.errors import UserError
from uwe_jax.serving.refusals import Refusal

# Hits that are asked of a space: each number is a program of its own, and a hundred take no longer than ten.
_TOP_K = (100, 1000, 10_000)


@runtime_checkable
class CountsTruncation(Protocol):
    """The part of `uwe_jax.models.loaded.LoadedModel` that a service needs."""

    def truncation(self, texts: Iterable[str]) -> Truncation:
        """Counts the texts that have more tokens than the model reads."""
        ...


@runtime_checkable
class RankingModel(Protocol):
    """The part of `uwe_jax.retrieval.ranker.Ranker` that a service needs."""

    name: str

    @property
    def loaded(self) -> CountsTruncation:
        """What counts truncated texts."""
        ...

    @property
    def origin(self) -> Origin:
        """The model's name, fingerprint and scorer."""
        ...

    def rank_each(
        self, queries: Iterable[str], space: Searchable, top_k: int, *, batch: int, where: Where = None
    ) -> Iterable[list[Hit] | UserError]:
        """The best targets of every query, or why it has none."""
        ...

    def scores(self, queries: Sequence[str], targets: Sequence[str]) -> np.ndarray:
        """All scores [q, n]."""
        ...

    def explain(self, query: str, target: str) -> Any:
        """An explanation with `to_dict`."""
        ...

    def warm_up(self, space: Searchable, top_k: int) -> None:
        """Compiles what short queries need."""
        ...


@dataclass(frozen=True)
class RankTask:
    """The `top_k` best targets of a space for every query, among those that `where` allows (values by column)."""

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
        """Requests against the same targets are ranked together."""
        return self.space, self.where


@dataclass(frozen=True)
class ScoresTask:
    """The score of every query with every target."""

    queries: tuple[str, ...]
    targets: tuple[str, ...]
    group = None

    @property
    def texts(self) -> tuple[str, ...]:
        """Queries and targets."""
        return self.queries + self.targets


@dataclass(frozen=True)
class ExplainTask:
    """Why a query has its score with a target."""

    query: str
    target: str
    group = None

    @property
    def texts(self) -> tuple[str, ...]:
        """Query and target."""
        return (self.query, self.target)


class Answer(NamedTuple):
    """What the model says of a task.

    Attributes:
      found: hits of every query, in the place of one that cannot be scored an error; scores as lists; an explanation
        as a dict.
      truncated: number of the texts that have more tokens than the model reads.
    """

    found: Any
    truncated: int


class ServedModel:
    """A model and the spaces it ranks against.

    Args:
      ranker: the model.
      spaces: by name.
    """

    def __init__(self, ranker: RankingModel, spaces: Mapping[str, Searchable]):
        self.ranker = ranker
        self.spaces = dict(spaces)

    def warm_up(self, batch: int) -> None:
        """Compiles what short queries need, alone and up to `batch` at once."""
        for space in self.spaces.values():
            self.ranker.warm_up(space, shared_top_k(1))
            number = 2
            while number <= batch:
                self._rank_each([f"work {each}" for each in range(number)], space, shared_top_k(1))
                number *= 2
        self.ranker.explain("work", "work")

    def answer(self, tasks: Sequence[Any]) -> list[Answer]:
        """The answers to tasks of one group.

        Raises:
          Refusal: 422 where a text to score or to explain cannot be scored, or no target has a column or value.
        """
        found = self._rank(tasks) if isinstance(tasks[0], RankTask) else [self._scored(task) for task in tasks]
        return [
            Answer(each, self.ranker.loaded.truncation(task.texts).truncated)
            for each, task in zip(found, tasks, strict=True)
        ]

    def _scored(self, task: ScoresTask | ExplainTask) -> Any:
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
        return [[_best(next(found), task.top_k) for _ in task.queries] for task in tasks]

    def _rank_each(
        self, queries: Sequence[str], space: Searchable, top_k: int, where: Where = None
    ) -> list[list[Hit] | UserError]:
        return list(self.ranker.rank_each(queries, space, top_k, batch=len(queries), where=where))


def _best(found: list[Hit] | UserError, top_k: int) -> list[Hit] | UserError:
    return found if isinstance(found, UserError) else found[:top_k]


def shared_top_k(top_k: int) -> int:
    """The number of hits that a space is asked for, where so many are wanted.

    >>> shared_top_k(3), shared_top_k(100), shared_top_k(101)
    (100, 100, 1000)
    """
    return next((each for each in _TOP_K if each >= top_k), top_k)
