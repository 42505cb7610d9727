"""What can be measured: anything that scores targets for queries."""

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
      name: stands over the ranker's results.

    A ranker may have three more: `description`, a line on where it comes from; `encode_seconds`, what it has spent on
    encoding texts so far; and `truncation(texts)`, which counts the texts that it does not read to their end.
    """

    name: str

    def index(self, targets: Sequence[str]) -> Score:
        """Makes n targets ready to be ranked.

        Returns:
          Scores float [q, n] of q queries, called with one chunk of all queries after the other; higher is better. What
          a query scores must not depend on the chunk it comes in.
        """
        ...


def truncation(ranker: Ranker, texts: Sequence[str]) -> Truncation:
    """Counts the texts that a ranker truncates; one that cannot say so reads every text to its end."""
    count = getattr(ranker, "truncation", None)
    return count(texts) if count else Truncation(0)
