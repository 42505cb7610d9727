"""Some targets with their tokens in storage format: what one file of a space holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from uwe_jax.data.ragged import run_entries, run_offsets
from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.retrieval.store.quantise import quantise, restore
from uwe_jax.retrieval.store.strings import PackedStrings


@dataclass(frozen=True, eq=False)
class Segment:
    """n targets; target k has the rows values[offsets[k]:offsets[k + 1]].

    Attributes:
      values: [tokens, d] in a storage dtype (see `quantise`).
      scales: float32 [tokens] in int8, else None.
      offsets: int64 [n + 1].
      texts: of the targets.
      ids: of the targets, each once in a space.
    """

    values: np.ndarray
    scales: np.ndarray | None
    offsets: np.ndarray
    texts: PackedStrings
    ids: PackedStrings

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def store(cls, tokens: RaggedTokens, texts: Sequence[str], ids: Sequence[str], dtype: str) -> Segment:
        """Puts targets into storage format."""
        values, scales = quantise(tokens.flat, dtype)
        return cls(values, scales, tokens.offsets, PackedStrings.pack(texts), PackedStrings.pack(ids))

    def take(self, positions: np.ndarray) -> Segment:
        """The targets at some positions [k], in their order."""
        lengths = np.diff(self.offsets)[positions]
        rows = run_entries(self.offsets[positions], lengths)
        scales = None if self.scales is None else self.scales[rows]
        offsets = run_offsets(lengths)
        return Segment(self.values[rows], scales, offsets, self.texts.take(positions), self.ids.take(positions))


@dataclass(frozen=True, eq=False)
class Part:
    """The targets of a segment that were not removed.

    Attributes:
      segment: with all its targets.
      kept: positions of those that count, int64 [n] ascending; None for all.
    """

    segment: Segment
    kept: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.segment if self.kept is None else self.kept)

    def without(self, ids: set[str]) -> Part:
        """Without some targets; ids of others are passed over."""
        positions = np.arange(len(self.segment)) if self.kept is None else self.kept
        stays = np.array([each not in ids for each in self.ids()], bool)
        return self if stays.all() else Part(self.segment, positions[stays])

    def ids(self) -> PackedStrings:
        """Of the targets that count."""
        return self.segment.ids if self.kept is None else self.segment.ids.take(self.kept)

    def whole(self) -> Segment:
        """A segment of the targets that count alone."""
        return self.segment if self.kept is None else self.segment.take(self.kept)

    def in_dtype(self, dtype: str, own: str) -> Part:
        """The same targets in another storage dtype; `own` is that of this part."""
        if dtype == own:
            return self
        whole = self.whole()
        values, scales = quantise(restore(whole.values, whole.scales), dtype)
        return Part(Segment(values, scales, whole.offsets, whole.texts, whole.ids))
