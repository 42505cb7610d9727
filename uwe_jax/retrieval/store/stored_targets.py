"""An index in host memory, or memory-mapped from its folder."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from uwe_jax.config import ScorerSettings
from uwe_jax.data.ragged import run_offsets
from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.retrieval.store.columns import Strings, Where, matching, packed, packed_strings
from uwe_jax.retrieval.store.manifest import Manifest
from uwe_jax.retrieval.store.quantise import DTYPES, check_dtype, quantise, restore
from uwe_jax.retrieval.store.searchable import Hit, Origin
from uwe_jax.retrieval.store.segment import Part, Segment, joined_columns
from uwe_jax.retrieval.store.writing import creating
from uwe_jax.runtime.errors import UserError

_NAMED = 5  # ids that a message names


class Index:
    """An immutable index of n targets with token embeddings of one model.

    Attributes:
      origin: the model.
      dtype: of stored embeddings: float32, bfloat16, float16 or int8.
      width: components of a token embedding, d.
      pooled: whether only the mean of every target's tokens is held, as `origin.scorer` needs no more.
      parts: the targets, in storage format.
      columns: further columns of the targets, by their names; "" where a target has no value.
      ids: of the targets, in their order.
      texts: of the targets, in their order.
    """

    def __init__(self, origin: Origin, dtype: str, width: int, pooled: bool, parts: Sequence[Part]):
        self.origin = origin
        self.dtype = dtype
        self.width = width
        self.pooled = pooled
        self.parts = tuple(parts)
        self.columns = {name: Strings(column) for name, column in joined_columns(self.parts).items()}
        self.ids, self.texts = (
            Strings(pa.chunked_array([part.at(getattr(part.segment, name)) for part in self.parts], pa.large_string()))
            for name in ("ids", "texts")
        )
        self._building = threading.Lock()
        self._built: dict[ScorerSettings, Any] = {}

    @classmethod
    def from_tokens(
        cls,
        tokens: RaggedTokens,
        texts: Sequence[str],
        ids: Sequence[str] | None,
        origin: Origin,
        dtype: str = "float16",
        *,
        columns: Mapping[str, Sequence[str]] | None = None,
    ) -> Index:
        """Builds an index of n targets.

        Args:
          tokens: raw token embeddings of the texts.
          texts: n of them; the others are those of `Ranker.encode_targets`.
          origin: the model that encoded them. Where its scorer pools targets, only their means are kept.

        Raises:
          UserError: an unknown dtype, a wrong number of ids, duplicate ids, columns that are refused (see `packed`), or
            embeddings that the dtype cannot hold.
        """
        from uwe_jax.scoring.ragged import is_pooled  # imports jax, which reading an index does without

        check_dtype(dtype)
        own = target_ids(texts, ids)
        if len(tokens) != len(texts):
            raise UserError(f"There are {len(texts):,} targets and the token embeddings of {len(tokens):,} texts.")
        pooled = is_pooled(origin.scorer.kind, query=False)
        stored = tokens.pooled() if pooled else tokens
        values, scales = quantise(stored.flat, dtype)
        own_texts = own.array if ids is None else packed_strings(texts)
        segment = Segment(values, scales, stored.offsets, own_texts, own.array, packed(columns, len(texts)))
        return cls(origin, dtype, tokens.width, pooled, [Part(segment)])

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __repr__(self) -> str:
        return f"<Index of {len(self):,} targets by {self.origin.model}, {self.dtype}>"

    @property
    def tokens(self) -> RaggedTokens:
        """Token embeddings as stored, int8 as float32; a copy unless all targets are one whole segment."""
        wholes = [part.whole() for part in self.parts]
        flats = [restore(whole.values, whole.scales) for whole in wholes]
        if len(flats) == 1:
            return RaggedTokens(flats[0], wholes[0].offsets)
        if not flats:
            return RaggedTokens(np.zeros((0, self.width), DTYPES["float32"]), np.zeros(1, np.int64))
        lengths = np.concatenate([np.diff(whole.offsets) for whole in wholes])
        return RaggedTokens(np.concatenate(flats), run_offsets(lengths))

    def count(self, where: Where = None) -> int:
        """Counts the targets that match a filter; see `Searchable.count`."""
        return int(matching(self.columns, where, len(self)).sum())

    def search(self, queries: RaggedTokens, top_k: int, scorer: ScorerSettings, where: Where = None) -> list[list[Hit]]:
        """Returns the best targets of every query; see `Searchable.search`.

        The first search puts the targets on the devices, where they stay.

        Raises:
          UserError: `top_k` is below 1, the queries have another width, or a filter is refused.
        """
        allowed = matching(self.columns, where, len(self)) if where else None
        if not len(self) or not len(queries):
            return [[] for _ in range(len(queries))]
        found = self.target_space(scorer).top_k(queries, min(top_k, len(self)), scorer.temperatures, allowed)

        def hit(at: int, score: float) -> Hit:
            columns = {name: column[at] for name, column in self.columns.items()}
            return Hit(self.ids[at], self.texts[at], score, columns)

        return [list(map(hit, *row)) for row in zip(found.positions.tolist(), found.scores.tolist(), strict=True)]

    def target_space(self, scorer: ScorerSettings) -> Any:
        """Returns the targets on the devices (a `uwe_jax.ranking.target_space.TargetSpace`), kept for one scorer.

        Raises:
          UserError: it has no targets.
        """
        from uwe_jax.ranking.target_space import TargetSpace
        from uwe_jax.scoring.ragged import formula

        settings = formula(scorer)
        with self._building:
            if settings not in self._built:
                self._built.clear()  # a second copy on the devices may not fit
                self._built[settings] = TargetSpace.build(self.tokens, settings)
            return self._built[settings]

    def save(self, folder: str | Path, *, patience: float = 0) -> None:
        """Writes the index to a folder, see `uwe_jax.retrieval.store.folder`; an earlier index there is replaced.

        It waits `patience` seconds, at least two, for another process that writes to it.

        Raises:
          UserError: the folder holds something else, may not be written, or is being written to.
          OSError: the disk is full; an earlier index is still there.
        """
        with creating(folder, patience=patience) as writer:
            writer.commit(Manifest(self.origin, self.dtype, self.width, self.pooled, writer.add(self.parts)))


def target_ids(texts: Sequence[str], ids: Sequence[str] | None) -> Strings:
    """Returns the ids of n targets: as given, or the texts themselves.

    Raises:
      UserError: a wrong number of ids, duplicate ids, or an id that is not valid text.
    """
    chosen = texts if ids is None else ids
    if len(chosen) != len(texts):
        raise UserError(f"There are {len(texts):,} targets and {len(chosen):,} ids. Give one id per target.")
    if odd := [each for each in chosen if not isinstance(each, str)]:
        raise UserError(f"The id {odd[0]!r} is of type {type(odd[0]).__name__}; ids are strings: give {str(odd[0])!r}.")
    if twice := [each for each, times in Counter(chosen).items() if times > 1]:
        how = "duplicate targets, and texts are their own ids" if ids is None else "duplicate ids"
        raise UserError(f"There are {len(twice):,} {how}: {_some(twice)}. Give every target its own id.")
    return Strings(packed_strings(chosen))


def _some(ids: Iterable[str]) -> str:
    ordered = sorted(ids)
    shown = ", ".join(repr(each if len(each) <= 60 else each[:57] + "...") for each in ordered[:_NAMED])
    return f"{shown} and {len(ordered) - _NAMED:,} more" if len(ordered) > _NAMED else shown
