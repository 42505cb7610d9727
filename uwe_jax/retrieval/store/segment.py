"""Targets with their tokens in storage format: the content of one file of an index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from uwe_jax.data.ragged import run_entries, run_offsets
from uwe_jax.retrieval.store.columns import joined, taken
from uwe_jax.retrieval.store.quantise import quantise, restore


@dataclass(frozen=True, eq=False)
class Segment:
    """n targets; target k has the rows values[offsets[k]:offsets[k + 1]].

    Attributes:
      values: [tokens, d] in a storage dtype (see `quantise`).
      scales: float32 [tokens] in int8, else None.
      offsets: int64 [n + 1].
      texts: of the targets, large_string [n].
      ids: of the targets, unique in an index, large_string [n].
      columns: further ones, by their names, each a dictionary of large_string [n].
    """

    values: np.ndarray
    scales: np.ndarray | None
    offsets: np.ndarray
    texts: pa.Array
    ids: pa.Array
    columns: Mapping[str, pa.DictionaryArray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, positions: np.ndarray) -> Segment:
        """Returns the targets at positions [k], in their order."""
        lengths = np.diff(self.offsets)[positions]
        rows = run_entries(self.offsets[positions], lengths)
        scales = None if self.scales is None else self.scales[rows]
        columns = {name: taken(column, positions) for name, column in self.columns.items()}
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

    def at(self, texts: pa.Array) -> pa.Array:
        """Returns those of the segment's texts or ids that count."""
        return texts if self.kept is None else texts.take(self.kept)

    def without(self, ids: set[str]) -> Part:
        """Returns the part without targets of these ids; unknown ids are ignored."""
        positions = np.arange(len(self.segment)) if self.kept is None else self.kept
        gone = pc.is_in(self.at(self.segment.ids), pa.array(list(ids), pa.large_string())).to_numpy(
            zero_copy_only=False
        )
        return Part(self.segment, positions[~gone]) if gone.any() else self

    def column(self, name: str) -> pa.DictionaryArray:
        """Returns a further column of the targets that count; empty texts where the segment has none of that name."""
        column = self.segment.columns.get(name)
        if column is None:
            return pa.DictionaryArray.from_arrays(np.zeros(len(self), np.int32), pa.array([""], pa.large_string()))
        return column if self.kept is None else taken(column, self.kept)

    def whole(self) -> Segment:
        """Returns a segment of only the targets that count."""
        return self.segment if self.kept is None else self.segment.take(self.kept)

    def in_dtype(self, dtype: str) -> Part:
        """Converts the targets to another storage dtype."""
        whole = self.whole()
        values, scales = quantise(restore(whole.values, whole.scales), dtype)
        return Part(replace(whole, values=values, scales=scales))


def joined_columns(parts: Sequence[Part]) -> dict[str, pa.ChunkedArray]:
    """Concatenates the further columns of parts; each has every column of any."""
    names = dict.fromkeys(name for part in parts for name in part.segment.columns)
    return {name: joined([part.column(name) for part in parts]) for name in names}
