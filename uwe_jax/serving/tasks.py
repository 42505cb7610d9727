"""What the model is asked, and how it answers several requests at once."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from uwe_jax.retrieval.store.searchable import Hit, Origin, Searchable

# Hits that are asked of a space: each number is a program of its own, and a hundred take no longer than ten.
_TOP_K = (100, 1000, 10_000)


@runtime_checkable
class RankingModel(Protocol):
    """The part of `uwe_jax.retrieval.ranker.Ranker` that a service needs."""

    name: str

    @property
    def origin(self) -> Origin:
        """The model's name, fingerprint and scorer."""
        ...

    def rank(self, queries: Sequence[str], space: Searchable, top_k: int) -> list[list[Hit]]:
        """The best targets of every query."""
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
    """The `top_k` best targets of a space for every query."""

    queries: tuple[str, ...]
    space: str
    top_k: int

    @property
    def texts(self) -> int:
        """Queries."""
        return len(self.queries)

    @property
    def group(self) -> Hashable:
        """Requests against one space are ranked together."""
        return self.space


@dataclass(frozen=True)
class ScoresTask:
    """The score of every query with every target."""

    queries: tuple[str, ...]
    targets: tuple[str, ...]
    group = None

    @property
    def texts(self) -> int:
        """Queries and targets."""
        return len(self.queries) + len(self.targets)


@dataclass(frozen=True)
class ExplainTask:
    """Why a query has its score with a target."""

    query: str
    target: str
    group = None
    texts = 2


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
                self.ranker.rank([f"work {each}" for each in range(number)], space, shared_top_k(1))
                number *= 2
        self.ranker.explain("work", "work")

    def answer(self, tasks: Sequence[Any]) -> list[Any]:
        """The answers to tasks of one group: hits of every query, a matrix as lists, an explanation as a dict."""
        first = tasks[0]
        if isinstance(first, RankTask):
            return self._rank(tasks)
        if isinstance(first, ScoresTask):
            return [self.ranker.scores(task.queries, task.targets).tolist() for task in tasks]
        return [self.ranker.explain(task.query, task.target).to_dict() for task in tasks]

    def _rank(self, tasks: Sequence[RankTask]) -> list[list[list[Hit]]]:
        top_k = shared_top_k(max(task.top_k for task in tasks))
        queries = [query for task in tasks for query in task.queries]
        found = iter(self.ranker.rank(queries, self.spaces[tasks[0].space], top_k))
        return [[next(found)[: task.top_k] for _ in task.queries] for task in tasks]


def shared_top_k(top_k: int) -> int:
    """The number of hits that a space is asked for, where so many are wanted.

    >>> shared_top_k(3), shared_top_k(100), shared_top_k(101)
    (100, 100, 1000)
    """
    return next((each for each in _TOP_K if each >= top_k), top_k)
