"""Counts of texts that are truncated at a limit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int


@dataclass(frozen=True)
class Truncation:
    """Number of tokenised texts, and of those that have more tokens than a limit; special tokens count.

    >>> (Truncation.of(np.array([9, 70]), 64) + Truncation.of(np.array([120]), 64)).notes("queries")
    ['2 of 3 queries are truncated at 64 tokens, the longest has 120']
    """

    limit: int  # tokens of a text
    texts: int = 0
    truncated: int = 0
    longest: int = 0  # tokens of the longest text; 0 without a text

    @classmethod
    def of(cls, lengths: Int[np.ndarray, " n"], limit: int) -> Truncation:
        """Counts from the number of tokens of every text."""
        return cls(limit, len(lengths), int((lengths > limit).sum()), int(lengths.max(initial=0)))

    def __add__(self, other: Truncation) -> Truncation:
        texts, truncated = self.texts + other.texts, self.truncated + other.truncated
        return Truncation(self.limit, texts, truncated, max(self.longest, other.longest))

    def notes(self, what: str = "texts") -> list[str]:
        """Returns a phrase with the numbers, about `what` in the plural; nothing if no text is truncated."""
        if not self.truncated:
            return []
        return [
            f"{self.truncated:,} of {self.texts:,} {what} {'is' if self.truncated == 1 else 'are'} truncated at "
            f"{self.limit} tokens, the longest has {self.longest:,}"
        ]
