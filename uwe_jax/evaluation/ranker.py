"""The interface of rankers: anything that scores targets for queries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from uwe_jax.data.truncation import Truncation

Score = Callable[[Sequence[str]], np.ndarray]


@runtime_checkable
class Ranker(Protocol):
    """Scores every target for every query. A user's own ranker in five lines, here by common letters:

    >>> class Letters:
    ...     name = "letters"
    ...     def index(self, targets):
    ...         spelled = [set(target) for target in targets]
    ...         return lambda queries: np.array([[len(set(q) & t) for t in spelled] for q in queries], np.float32)
    >>> Letters().index(["cook", "nurse"])(["cooking", "nursing"]).tolist()
    [[3.0, 1.0], [0.0, 4.0]]

    Attributes:
      name: heads the ranker's results.

    A ranker may have three more: `description`, a line on its origin; `encode_seconds`, the time spent on encoding
    texts so far; and `truncation(texts)`, which counts the texts that it truncates.
    """

    name: str

    def index(self, targets: Sequence[str]) -> Score:
        """Prepares n targets for ranking.

        Returns:
          Function of q queries that returns scores, float [q, n]; higher is better. It is called with one chunk of the
          queries after the other, and a query's scores must not depend on its chunk.
        """
        ...


def truncation(ranker: Ranker, texts: Sequence[str]) -> Truncation:
    """Counts the texts that a ranker truncates; none where it does not say."""
    count = getattr(ranker, "truncation", None)
    return count(texts) if count else Truncation(0)
