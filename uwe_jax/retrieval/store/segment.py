"""Some targets with their tokens in storage format: what one file of a space holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from uwe_jax.data.ragged import run_entries, run_offsets
from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.retrieval.store.columns import Column
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
      columns: further ones, by their names.
    """

    values: np.ndarray
    scales: np.ndarray | None
    offsets: np.ndarray
    texts: PackedStrings
    ids: PackedStrings
    columns: Mapping[str, Column] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def store(
        cls,
        tokens: RaggedTokens,
        texts: Sequence[str],
        ids: Sequence[str],
        dtype: str,
        columns: Mapping[str, Column],
    ) -> Segment:
        """Puts targets into storage format."""
        values, scales = quantise(tokens.flat, dtype)
        return cls(values, scales, tokens.offsets, PackedStrings.pack(texts), PackedStrings.pack(ids), columns)

    def column(self, name: str) -> Column:
        """A further column; empty texts where the segment has none of that name."""
        return self.columns.get(name) or Column(PackedStrings.pack([""]), np.zeros(len(self), np.int32))

    def take(self, positions: np.ndarray) -> Segment:
        """The targets at some positions [k], in their order."""
        lengths = np.diff(self.offsets)[positions]
        rows = run_entries(self.offsets[positions], lengths)
        scales = None if self.scales is None else self.scales[rows]
        columns = {name: column.take(positions) for name, column in self.columns.items()}
        texts, ids = self.texts.take(positions), self.ids.take(positions)
        return Segment(self.values[rows], scales, run_offsets(lengths), texts, ids, columns)


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

    def column(self, name: str) -> Column:
        """A further column of the targets that count."""
        column = self.segment.column(name)
        return column if self.kept is None else column.take(self.kept)

    def whole(self) -> Segment:
        """A segment of the targets that count alone."""
        return self.segment if self.kept is None else self.segment.take(self.kept)

    def in_dtype(self, dtype: str, own: str) -> Part:
        """The same targets in another storage dtype; `own` is that of this part."""
        if dtype == own:
            return self
        whole = self.whole()
        values, scales = quantise(restore(whole.values, whole.scales), dtype)
        return Part(replace(whole, values=values, scales=scales))


def joined_columns(parts: Sequence[Part]) -> dict[str, Column]:
    """The further columns of the targets of some parts, one part after another; each has every column of any."""
    names = dict.fromkeys(name for part in parts for name in part.segment.columns)
    return {name: Column.join([part.column(name) for part in parts]) for name in names}
