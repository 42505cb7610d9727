"""Counts of texts that lose tokens at a limit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int


@dataclass(frozen=True)
class Truncation:
    """Number of texts that were tokenised, and of those among them that are longer than a limit.

    >>> (Truncation.of(np.array([9, 70]), 64) + Truncation.of(np.array([120]), 64)).notes("queries")
    ['2 of 3 queries are truncated at 64 tokens, the longest has 120']

    Attributes:
      limit: tokens of a text, special ones included.
      texts: that were tokenised.
      truncated: those of more tokens than the limit.
      longest: tokens of the longest text; 0 without a text.
    """

    limit: int
    texts: int = 0
    truncated: int = 0
    longest: int = 0

    @classmethod
    def of(cls, lengths: Int[np.ndarray, " n"], limit: int) -> Truncation:
        """Counts from the tokens of every text, special ones included."""
        return cls(limit, len(lengths), int((lengths > limit).sum()), int(lengths.max(initial=0)))

    def __add__(self, other: Truncation) -> Truncation:
        """Counts of further texts under the same limit."""
        texts, truncated = self.texts + other.texts, self.truncated + other.truncated
        return Truncation(self.limit, texts, truncated, max(self.longest, other.longest))

    def notes(self, what: str = "texts") -> list[str]:
        """A phrase with the numbers; nothing where no text is truncated.

        Args:
          what: the texts are called, in the plural.
        """
        if not self.truncated:
            return []
        verb = "is" if self.truncated == 1 else "are"
        return [
            f"{self.truncated:,} of {self.texts:,} {what} {verb} truncated at {self.limit} tokens, the longest has "
            f"{self.longest:,}"
        ]
