"""Targets to rank: texts with ids, further names and values of columns."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from uwe_jax.data.markup import has_markup, markup_note
from uwe_jax.retrieval.store.names import Name, distinct_names
from uwe_jax.retrieval.store.stored_targets import Index
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.notes import noted
from uwe_jax.sources.tables.formats import EXPECTED_FORMATS
from uwe_jax.sources.tables.problems import shorten

EXPECTED = (
    f"Expected the folder of ESCO's or O*NET's zips, a table in one of {EXPECTED_FORMATS}, or a .txt with one text per "
    "line."
)


class Row(NamedTuple):
    """A target with further `names`; `values` are those of the further columns, "" where the row has none."""

    id: str
    text: str
    values: tuple[str, ...] = ()
    names: tuple[Name, ...] = ()


@dataclass(frozen=True)
class Targets:
    """Texts to rank, with distinct ids.

    Attributes:
      origin: the source, for people.
      texts: normalised, none empty, n of them.
      ids: of the texts; the text itself where the source has none.
      notes: a phrase per reason why something was left out or looks damaged, with its number.
      columns: further columns of a table by their names, n values each; "" where a row has none.
      names: further names of every target, distinct from its text up to case; empty where no target has any.
    """

    origin: str
    texts: tuple[str, ...]
    ids: tuple[str, ...]
    notes: tuple[str, ...] = ()
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    names: tuple[tuple[Name, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.texts)

    @classmethod
    def of(
        cls,
        origin: str,
        rows: Iterable[Row],
        columns: Sequence[str] = (),
        notes: Iterable[str] = (),
        *,
        several: bool = False,
    ) -> Targets:
        """Builds targets; of rows with one id the first counts, and with `several` the others have further names."""
        kept: dict[str, Row] = {}
        names: dict[str, list[Name]] = {}
        repeated, differing = 0, 0
        further: list[Row] = []
        for row in rows:
            first = kept.setdefault(row.id, row)
            if first.text != row.text and not several:
                raise UserError(
                    f"{origin}: the id {shorten(row.id)} has two texts, {shorten(first.text)} and {shorten(row.text)}. "
                    "Correct one of the ids, name another column of ids, or rank by several names (--target-names)."
                )
            names.setdefault(row.id, []).extend(row.names if first is row else (Name(row.text), *row.names))
            repeated += first is not row and first.text == row.text
            if first.text != row.text:
                further.append(row)
            differing += first.values != row.values
        if not kept:
            raise UserError(f"{origin} holds no text. {EXPECTED}")
        of_each = tuple(tuple(distinct_names(row.text, names[row.id])) for row in kept.values())
        left_out = noted(repeated, "duplicate row", "left out")
        if further:
            example = f"{shorten(further[0].text)} of {shorten(kept[further[0].id].text)}"
            rest = f"with the id of an earlier one taken as further names of its target, such as {example}"
            left_out += noted(len(further), "row", rest)
        left_out += noted(differing, "row", "of an earlier id with other values in further columns, which do not count")
        if any(of_each):
            texts_of = (
                [row.text, *(name.text for name in more)] for row, more in zip(kept.values(), of_each, strict=True)
            )
            owners = Counter(text.casefold() for texts in texts_of for text in texts)
            shared = [text for text, times in owners.items() if times > 1]
            example = f", kept for each, such as {shorten(shared[0])}" if shared else ""
            left_out += noted(len(shared), "name", f"of several targets{example}")
        ids, texts, values, _ = zip(*kept.values(), strict=True)
        if marked := [text for text in (*texts, *(name.text for more in of_each for name in more)) if has_markup(text)]:
            left_out.append(markup_note(len(marked), "text", marked[0]))
        further_columns = dict(zip(columns, zip(*values, strict=True), strict=True))
        return cls(origin, texts, ids, (*notes, *left_out), further_columns, of_each if any(of_each) else ())

    @property
    def all_names(self) -> tuple[str, ...]:
        """The texts, and all further names."""
        return (*self.texts, *(name.text for name in itertools.chain.from_iterable(self.names)))

    def unlike(self, there: Index) -> Targets:
        """Returns the targets that an index lacks, or has with other names or other values of these columns."""
        names = self.names or ((),) * len(self)
        rows = list(zip(self.ids, self.texts, names, *self.columns.values(), strict=True))
        others = (there.columns.get(name) or itertools.repeat("") for name in self.columns)
        further = (tuple(there.names_of(target)[1:]) for target in range(len(there)))
        known = set(rows).intersection(zip(there.ids, there.texts, further, *others, strict=False))
        kept = [row for row in rows if row not in known]
        ids, texts, names, *columns = zip(*kept, strict=True) if kept else [()] * (3 + len(self.columns))
        notes = (*self.notes, *noted(len(known), "target", "already in the index left out"))
        return Targets(
            self.origin, texts, ids, notes, dict(zip(self.columns, columns, strict=True)), names if any(names) else ()
        )
