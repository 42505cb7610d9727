"""An index in host memory, or memory-mapped from its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from uwe_jax.config import ScorerSettings
from uwe_jax.data.ragged import run_offsets
from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.retrieval.calibration import FILE, Calibration
from uwe_jax.retrieval.settings import DEFAULT, RankSettings
from uwe_jax.retrieval.sketch import sketch
from uwe_jax.retrieval.store.columns import ROLE, Strings, Where, matching, packed, packed_strings, taken
from uwe_jax.retrieval.store.ids import target_ids
from uwe_jax.retrieval.store.manifest import Manifest
from uwe_jax.retrieval.store.names import (
    ExactNames,
    Name,
    best,
    descriptions_of,
    exact_first,
    no_target,
    rows_of,
    starts_of,
)
from uwe_jax.retrieval.store.on_devices import OnDevices
from uwe_jax.retrieval.store.quantise import DTYPES, check_dtype, quantise, restore
from uwe_jax.retrieval.store.searchable import Hit, Origin
from uwe_jax.retrieval.store.segment import Part, Segment, joined_columns
from uwe_jax.retrieval.store.writing import creating
from uwe_jax.runtime.errors import UserError
from uwe_jax.scoring.names import NamePlaces, name_scores, name_shares
from uwe_jax.scoring.words import Words


class Index:
    """An immutable index of n targets, each with one or several names, with token embeddings of one model.

    Attributes:
      origin: the model.
      dtype: of stored embeddings: float32, bfloat16, float16 or int8.
      width: components of a token embedding, d.
      pooled: whether only the mean of every target's tokens is held, as `origin.scorer` needs no more.
      parts: the names of the targets, in storage format.
      columns: further columns of the targets, by their names; "" where a target has no value.
      ids: of the targets, in their order.
      texts: labels of the targets, in their order.
      names: of all targets, in their order, those of one target next to each other and its label first.
      roles: of the names, "" of a label; None where no target has several names.
      starts: position of every target's label in `names`; None where no target has several names.
      on_devices: the names on the devices.
      calibration: of the index on disk; None where it has none.
    """

    def __init__(
        self,
        origin: Origin,
        dtype: str,
        width: int,
        pooled: bool,
        parts: Sequence[Part],
        calibration: Calibration | None = None,
    ):
        self.origin = origin
        self.dtype = dtype
        self.width = width
        self.pooled = pooled
        self.parts = tuple(parts)
        self.calibration = calibration
        columns = joined_columns(self.parts)
        roles = columns.pop(ROLE, None)
        ids, names = (
            pa.chunked_array([part.at(getattr(part.segment, name)) for part in self.parts], pa.large_string())
            for name in ("ids", "texts")
        )
        starts = np.arange(len(ids)) if roles is None else starts_of(roles, ids)
        self.names = texts = Strings(names)
        self.starts = starts if len(starts) < len(ids) else None
        self.roles = None if self.starts is None else Strings(roles)
        if self.starts is not None:
            rows = pa.array(starts)
            ids, texts = ids.take(rows), Strings(names.take(rows))
            columns = {name: column.take(rows) for name, column in columns.items()}
        self.ids, self.texts = Strings(ids), texts
        self.columns = {name: Strings(column) for name, column in columns.items()}
        described = None if roles is None else descriptions_of(roles)
        self._places = NamePlaces(starts, described)
        self.on_devices = OnDevices(lambda: self.tokens, self._places)

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
        names: Sequence[Sequence[Name]] = (),
    ) -> Index:
        """Builds an index of n targets.

        Args:
          tokens: raw token embeddings of the texts, the text of every target followed by its further names.
          texts: n of them; the others are those of `Ranker.encode_targets`.
          origin: the model that encoded them. Where its scorer pools targets, only their means are kept.

        Raises:
          UserError: an unknown dtype, a wrong number of ids, duplicate ids, columns that are refused (see `packed`), or
            embeddings that the dtype cannot hold.
        """
        from uwe_jax.scoring.ragged import is_pooled  # imports jax, which reading an index does without

        check_dtype(dtype)
        own = target_ids(texts, ids)
        own_texts, further = own.array if ids is None else packed_strings(texts), packed(columns, len(texts))
        if any(names):
            rows, starts = rows_of(texts, names)
            target = np.repeat(np.arange(len(texts)), np.diff(starts, append=len(rows)))
            further = {name: taken(column, target) for name, column in further.items()}
            all_names, roles = zip(*rows, strict=True)
            further[ROLE] = packed_strings(roles).dictionary_encode()
            own_texts, own_ids = packed_strings(all_names), own.array.take(target)
        else:
            own_ids = own.array
        if len(tokens) != len(own_texts):
            raise UserError(f"There are {len(own_texts):,} targets and the token embeddings of {len(tokens):,} texts.")
        pooled = is_pooled(origin.scorer.kind, query=False)
        stored = tokens.pooled() if pooled else tokens
        values, scales = quantise(stored.flat, dtype)
        segment = Segment(values, scales, stored.offsets, own_texts, own_ids, further)
        return cls(origin, dtype, tokens.width, pooled, [Part(segment)])

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def several(self) -> bool:
        """Tells whether targets have several names."""
        return self.starts is not None

    @property
    def described(self) -> bool:
        """Tells whether targets have descriptions."""
        return self._places.described

    @cached_property
    def sketch(self) -> tuple[str, ...]:
        """Tells the names of other targets from these, see `uwe_jax.retrieval.sketch`."""
        return sketch(self.names)

    def __repr__(self) -> str:
        names = "" if self.starts is None else f" with {len(self.names):,} names"
        return f"<Index of {len(self):,} targets{names} by {self.origin.model}, {self.dtype}>"

    @property
    def tokens(self) -> RaggedTokens:
        """Token embeddings of all names as stored, int8 as float32; a copy unless they are one whole segment."""
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

    def names_of(self, target: str | int) -> list[Name]:
        """Returns the names of a target, by its id or position, and their roles; see `Searchable.names_of`."""
        rows = self.name_rows(self._position(target) if isinstance(target, str) else target)
        return [Name(*each) for each in zip(self.names[rows], self.roles[rows] if self.roles else [""], strict=True)]

    def columns_of(self, target: str) -> dict[str, str]:
        """Returns the values of a target in the further columns; see `Searchable.columns_of`."""
        return self._values(self._position(target))

    def _values(self, at: int) -> dict[str, str]:
        return {name: column[at] for name, column in self.columns.items()}

    def _position(self, id: str) -> int:
        at: int = pc.index(self.ids.array, id).as_py()
        if at < 0:
            raise no_target(id)
        return at

    def name_rows(self, target: int) -> slice:
        """Returns the positions in `names` of the names of a target by its position."""
        if self.starts is None:
            return slice(target, target + 1)
        after = self.starts[target + 1] if target + 1 < len(self) else len(self.names)
        return slice(int(self.starts[target]), int(after))

    def search(
        self,
        queries: RaggedTokens,
        top_k: int,
        scorer: ScorerSettings,
        where: Where = None,
        *,
        texts: Sequence[str] = (),
        how: RankSettings = DEFAULT,
    ) -> list[list[Hit]]:
        """Returns the best targets of every query; see `Searchable.search`.

        The first search puts the names of the targets on the devices, where they stay; of `candidates`, the means of
        their tokens. Without `candidates`, and where the scorer pools targets, all are scored exactly.

        Raises:
          UserError: `top_k` is below 1, the queries have another width, or a filter is refused.
        """
        allowed = matching(self.columns, where, len(self)) if where else None
        if top_k < 1:
            raise UserError(f"top_k is {top_k}; it must be at least 1.")
        if not len(self) or not len(queries):
            return [[] for _ in range(len(queries))]
        exact = [self._exact(text, allowed) for text in texts] or [{}] * len(queries)
        number = max(how.candidates or len(self), top_k)
        chosen = self.on_devices.candidates(scorer) if number < len(self) else None
        if chosen:
            chunks = chosen.score_chunks(queries, scorer.temperatures, number, how.weights, allowed, exact)
        elif self.starts is None and not how.words:
            return self._by_text(queries, min(top_k, len(self)), scorer, allowed, exact)
        else:
            chunks = self.on_devices.all(scorer).score_chunks(queries, scorer.temperatures)
        hits: list[list[Hit]] = []
        for queried, scores in chunks:
            lexical = np.broadcast_to(np.float32(0), scores.shape)
            if how.words:
                lexical = np.float32(how.words) * self.words.scores(texts[queried])
                scores = scores + lexical
            combined = name_scores(scores, self._places, how.weights)
            if allowed is not None:
                combined[:, ~allowed] = -np.inf
            for row, more, targets, same in zip(scores, lexical, combined, exact[queried], strict=True):
                hits.append([])
                for at in best(targets, top_k, same).tolist():
                    names = self.name_rows(at)
                    parts = name_shares(row[names], how.weights, self._places.descriptions_in(names))
                    name = same.get(at, names.start + parts.matched)
                    part = float(parts.shares @ more[names])
                    hits[-1].append(self._hit(at, float(targets[at]), name, at in same, part))
        return hits

    def _by_text(
        self,
        queries: RaggedTokens,
        top_k: int,
        scorer: ScorerSettings,
        allowed: np.ndarray | None,
        exact: Sequence[Mapping[int, int]],
    ) -> list[list[Hit]]:
        """Searches targets with one name each."""
        space = self.on_devices.all(scorer)
        hits = []
        found = space.top_k(queries, top_k, scorer.temperatures, allowed)
        for query, (at, scores, same) in enumerate(zip(found.positions, found.scores, exact, strict=True)):
            if len(missed := np.setdiff1d(list(same), at).astype(np.int64)):
                only = np.zeros(len(self), bool)
                only[missed] = True
                more = space.top_k(queries.part(query, query + 1), top_k, scorer.temperatures, only)
                at, scores = np.append(at, more.positions[0]), np.append(scores, more.scores[0])
            order = exact_first(at, scores, same)[:top_k]
            pairs = zip(at[order].tolist(), scores[order].tolist(), strict=True)
            hits.append([self._hit(each, score, each, each in same) for each, score in pairs])
        return hits

    @cached_property
    def words(self) -> Words:
        """Terms of all names, for rankings by words in common."""
        return Words(self.names)

    def words_of(self, id: str) -> Words:
        """Returns the terms of the names of one target."""
        return self.words.part(self.name_rows(self._position(id)))

    @cached_property
    def _exact_names(self) -> ExactNames:
        return ExactNames(self.names)

    def _exact(self, text: str, allowed: np.ndarray | None) -> dict[int, int]:
        """Returns the first name of every allowed target that equals a text, by the target's position."""
        found: dict[int, int] = {}
        for row in self._exact_names.rows(text):
            target = row if self.starts is None else int(np.searchsorted(self.starts, row, "right")) - 1
            if allowed is None or allowed[target]:
                found.setdefault(target, row)
        return found

    def _hit(self, at: int, score: float, name: int, exact: bool, words: float = 0.0) -> Hit:
        role = self.roles[name] if self.roles else ""
        values = self._values(at)
        return Hit(self.ids[at], self.texts[at], score, values, self.names[name] if role else "", exact, role, words)

    def save(self, folder: str | Path, *, patience: float = 0) -> None:
        """Writes the index to a folder, see `uwe_jax.retrieval.store.folder`; replaces an earlier one and its
        calibration.

        It waits `patience` seconds, at least two, for another process that writes to it.

        Raises:
          UserError: the folder holds something else, may not be written, or is being written to.
          OSError: the disk is full; an earlier index is still there.
        """
        with creating(folder, patience=patience) as writer:
            writer.commit(Manifest(self.origin, self.dtype, self.width, self.pooled, writer.add(self.parts)))
            (writer.folder / FILE).unlink(missing_ok=True)  # of the index that was replaced
