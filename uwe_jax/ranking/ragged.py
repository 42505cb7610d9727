"""Raw token embeddings of a list of texts, without padding, in host memory."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from uwe_jax.data.ragged import run_entries, run_offsets
from uwe_jax.runtime.errors import UserError

# Largest accepted component of an embedding: up to it no product of two norms, divided by the smallest attention
# temperature, overflows float32 or comes near the logits of padding.
MOST = 1e10


def not_scorable(what: str, position: int) -> str:
    """Error message for a text that is not `RaggedTokens.scorable`."""
    return (
        f"{what} {position} cannot be scored: the model's embedding of it has a component that is NaN, infinite or "
        f"beyond {MOST:g}. Remove the text, or use another model: the weights of this one are damaged or do not match "
        "its tokeniser."
    )


@dataclass(frozen=True)
class RaggedTokens:
    """Token embeddings of n texts: text k has the rows flat[offsets[k]:offsets[k + 1]].

    Attributes:
      flat: raw encoder outputs [tokens, d] in any float dtype; may be memory-mapped.
      offsets: int64 [n + 1].
    """

    flat: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of every text, int64 [n]."""
        return np.diff(self.offsets)

    @property
    def width(self) -> int:
        """Components of a token embedding, d."""
        return self.flat.shape[1]

    def pooled(self) -> RaggedTokens:
        """Replaces each text by one token: the float32 mean of its tokens, zero for a text without any."""
        means = np.zeros((len(self), self.width), np.float32)
        filled = np.flatnonzero(self.lengths)
        if len(filled):
            sums = np.add.reduceat(self.flat, self.offsets[filled], axis=0, dtype=np.float32)
            means[filled] = sums / self.lengths[filled, None].astype(np.float32)
        return RaggedTokens(means, np.arange(len(self) + 1, dtype=np.int64))

    @property
    def scorable(self) -> np.ndarray:
        """True for texts without a component that is NaN, infinite or beyond `MOST`, bool [n]."""
        fine = np.ones(len(self), bool)
        filled = np.flatnonzero(self.lengths)
        if len(filled):
            # The maximum is NaN where a component is, and NaN is not below anything.
            tokens = np.abs(self.flat).max(axis=1).astype(np.float32) <= MOST
            fine[filled] = np.logical_and.reduceat(tokens, self.offsets[filled])
        return fine

    def check_scorable(self, what: str) -> None:
        """Raises a UserError that names the first text that cannot be scored by `what` and its position from 1."""
        fine = self.scorable
        if not fine.all():
            raise UserError(not_scorable(what, int(fine.argmin()) + 1))

    def take(self, members: np.ndarray) -> RaggedTokens:
        """Selects the texts at positions [k], in their order."""
        lengths = self.lengths[members]
        return RaggedTokens(self.flat[run_entries(self.offsets[members], lengths)], run_offsets(lengths))

    def part(self, start: int, stop: int) -> RaggedTokens:
        """Texts start to stop - 1, sharing memory."""
        offsets = self.offsets[start : stop + 1]
        return RaggedTokens(self.flat[offsets[0] : offsets[-1]], offsets - offsets[0])

    def chunks(self, tokens: int, texts: int | None = None) -> Iterator[tuple[int, int]]:
        """Cuts the texts into runs (start, stop) of at most `tokens`, or of one longer text.

        A run has at most `texts` texts, by default as many as tokens, since texts without tokens take memory as well.
        """
        start = 0
        while start < len(self):
            stop = int(np.searchsorted(self.offsets, self.offsets[start] + tokens, side="right")) - 1
            stop = max(start + 1, min(stop, start + (texts or tokens), len(self)))
            yield start, stop
            start = stop

    def even_chunks(self, tokens: int, texts: int | None = None) -> list[tuple[int, int]]:
        """Cuts the texts into no more runs than `chunks`, the largest of which is as small as it can be.

        So little is padding, in the shape of the largest: 173 tokens are runs of 87 and 86, not of 128 and 45.
        """
        texts = texts or tokens
        found = list(self.chunks(tokens, texts))
        if len(found) < 2:
            return found
        least = bisect.bisect_left(
            range(1, tokens), True, key=lambda most: sum(1 for _ in self.chunks(most, texts)) <= len(found)
        )
        return list(self.chunks(least + 1, texts))

    def padded(self, members: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Pads the texts at `members` [b] (-1 for an empty text) to t = `length` tokens.

        Returns:
          Embeddings [t, b, d], zero at padding, and a mask [t, b].
        """
        real = np.where(members < 0, 0, self.lengths[members])
        mask = np.arange(length)[:, None] < real[None, :]
        token, text = np.nonzero(mask)
        rows = np.zeros((length, len(members), self.width), self.flat.dtype)
        rows[token, text] = self.flat[self.offsets[members[text]] + token]
        return rows, mask
