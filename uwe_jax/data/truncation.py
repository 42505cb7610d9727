"""Counts of texts that an encoder does not read as they are: truncated at a limit, or with unknown tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int

from uwe_jax.runtime.progress import counted


@dataclass(frozen=True)
class Truncation:
    """Numbers of tokenised texts, of those with more tokens than a limit, and of those with unknown tokens.

    Special tokens count towards the limit. A text of unknown tokens alone has the embedding of all such texts of its
    length.

    >>> (Truncation.of(np.array([9, 70]), 64) + Truncation.of(np.array([120]), 64)).notes("query")
    ['2 of 3 queries are truncated at 64 tokens, the longest has 120']
    """

    limit: int  # tokens of a text
    texts: int = 0
    truncated: int = 0
    longest: int = 0  # tokens of the longest text; 0 without a text
    unknown: int = 0  # texts with an unknown token
    blank: int = 0  # texts with unknown tokens alone
    example: str = ""  # of `blank`, else of `unknown`

    @classmethod
    def of(
        cls,
        lengths: Int[np.ndarray, " n"],
        limit: int,
        special: int = 0,
        unknown: Int[np.ndarray, " n"] | None = None,
        texts: Sequence[str] = (),
    ) -> Truncation:
        """Counts from the number of tokens of every text, of which `special` are special.

        `unknown` is the number of unknown tokens of every one of the `texts`.
        """
        counts = cls(limit, len(lengths), int((lengths > limit).sum()), int(lengths.max(initial=0)))
        if unknown is None or not unknown.any():
            return counts
        blank = (unknown > 0) & (unknown == lengths - special)
        first = int(np.argmax(blank if blank.any() else unknown > 0))
        return replace(counts, unknown=int((unknown > 0).sum()), blank=int(blank.sum()), example=texts[first])

    def __add__(self, other: Truncation) -> Truncation:
        return Truncation(
            self.limit,
            self.texts + other.texts,
            self.truncated + other.truncated,
            max(self.longest, other.longest),
            self.unknown + other.unknown,
            self.blank + other.blank,
            other.example if not self.example or (other.blank and not self.blank) else self.example,
        )

    def notes(self, what: str = "text") -> list[str]:
        """Returns a phrase with the numbers, about `what` in the singular; nothing if no text is truncated."""
        if not self.truncated:
            return []
        return [
            f"{self.truncated:,} of {counted(self.texts, what)} {'is' if self.truncated == 1 else 'are'} truncated at "
            f"{self.limit} tokens, the longest has {self.longest:,}"
        ]

    def unknown_notes(self, what: str = "text") -> list[str]:
        """Returns a sentence on texts with unknown tokens, about `what` in the singular; nothing if there are none."""
        if not self.unknown:
            return []
        alone = f", {self.blank:,} of them no other, which makes texts of one length equal" if self.blank else ""
        return [
            f"{self.unknown:,} of {counted(self.texts, what)} ({100 * self.unknown / self.texts:.1f} %) "
            f"{'has' if self.unknown == 1 else 'have'} tokens that the encoder's tokeniser does not know{alone}, "
            f"such as {self.example[:60]!r}. An encoder of another language or script reads them otherwise; see "
            "docs/languages.md."
        ]
