"""The interface of tables of all formats, and chunks of them that are read independently."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from types import MappingProxyType
from typing import Any

from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.tables.names import HEADER, check_once, named_columns, same_names
from uwe_jax.sources.tables.problems import BrokenRows, shorten
from uwe_jax.sources.tables.values import ANY, TYPES, convert, half_pair, no_row

# A chunk of a row group or of a gzip file is reached by decoding what is before it: these are cut into few chunks.
PARTS = 20

Row = dict[str, Any]
Rows = Iterator[tuple[str, Row]]  # places of rows, for messages, and values by column
NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows of a file; all of them by default.

    `start` and `stop` count bytes of the content of a text file, row groups of a Parquet file, or rows of others.
    """

    path: str = ""
    name: str = ""  # of the file, for messages
    start: int = -1  # first of the chunk; -1 is that of the first row
    stop: int = -1  # first behind the chunk; -1 reads to the end
    first: int = 1  # number of the first row: of its line in a text file, of the row in others
    rows: int = -1  # how many, where known; -1 is all
    skip: int = 0  # rows of the first row group that belong to earlier chunks
    size: int = -1  # bytes of the file when it was cut; -1 is not checked
    mtime_ns: int = -1  # time of its last change then
    quoted: bool | None = None  # whether quotes enclose the fields of a text file; None if unknown


WHOLE = Chunk()


class Table(ABC):
    """A table of any format."""

    name: str  # for messages
    columns: list[str]  # their names, stripped; in JSON the keys of all rows
    told: str  # how it is read, for messages
    named = True  # whether the format distinguishes column names from values; else the first row is taken for names
    any_keys = False  # whether a row may have columns that `columns` lacks
    quoted: bool | None = None  # see `Chunk`

    @abstractmethod
    def cut(self, rows: int) -> list[Chunk]:
        """Returns chunks of about so many rows, without their file; UserError if row boundaries are ambiguous."""

    @abstractmethod
    def rows(self, where: Chunk, columns: Sequence[str], broken: BrokenRows) -> Rows:
        """Yields the rows of a chunk, each with the values of at least these columns if it has them."""

    def find(
        self, columns: Mapping[str, str], optional: Mapping[str, str] = NONE, roles: Mapping[str, str] = NONE
    ) -> dict[str, str]:
        """Returns this table's names of the columns that it has; arguments and errors are those of `read_rows`."""
        found: dict[str, str] = {}
        for column in (*columns, *optional):
            check_once(self.columns, column, self.name)
            role = roles.get(column, "")
            named = named_columns(self.columns, [role] if role else [], self.name)
            same = same_names(self.columns, column) or [*named.values()]
            found |= {column: same[0]} if same else {}
        missing = [column for column in columns if column not in found]
        if missing and not self.any_keys:
            raise UserError(
                f"{self.name} has no column {' and no column '.join(map(repr, missing))}; expected the columns "
                f"{', '.join(columns)}. Its columns: {', '.join(map(shorten, self.columns)) or 'none'}. {HEADER}"
            )
        return found

    def typed(
        self,
        where: Chunk,
        columns: Mapping[str, str],
        broken: BrokenRows,
        optional: Mapping[str, str] = NONE,
        roles: Mapping[str, str] = NONE,
        exact: bool = False,
    ) -> Rows:
        """Yields the rows of a chunk with values of the types of their columns; see `read_rows`.

        `exact` names of columns are this table's own: in formats with `any_keys` they are not looked for, as that
        reads the whole file.
        """
        types = {**columns, **optional}
        found = {column: column for column in types}
        if not (exact and self.any_keys):
            found |= self.find(columns, optional, roles)
        for place, raw in self.rows(where, list(found.values()), broken):
            if absent := [column for column in columns if found[column] not in raw]:
                keys = f"(keys: {', '.join(raw) or 'none'})"
                broken.add(place, f"no {' and no '.join(absent)} {keys}", no_row("", list(columns))[1])
                continue
            row: Row = {}
            for column, kind in types.items():
                value = raw.get(found[column])
                if half_pair(value):
                    broken.add(place, f"half a surrogate pair in {column}", "valid Unicode")
                    break
                row[column] = convert(value, kind)
                if row[column] is None and kind != ANY:
                    broken.add(place, f"{column} {shorten(str(value))}", TYPES[kind])
                    break
            else:
                yield place, row


def chunks_of(extents: Iterable[tuple[int, int, int]], rows: int, *, few: bool) -> list[Chunk]:
    """Returns chunks of so many rows.

    Args:
      extents: start, stop and number of each row.
      few: merge them into at most `PARTS` chunks of about the same size.
    """
    extents, chunks = iter(extents), []
    while taken := list(islice(extents, rows)):
        chunks.append(Chunk(start=taken[0][0], stop=taken[-1][1], first=taken[0][2], rows=len(taken)))
    size = max(1, -(-len(chunks) // PARTS)) if few else 1
    groups = [chunks[start : start + size] for start in range(0, len(chunks), size)]
    return [replace(group[0], stop=group[-1].stop, rows=sum(each.rows for each in group)) for group in groups]
