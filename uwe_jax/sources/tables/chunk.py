"""Parts of a table that are read on their own, and what a table of any format offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from uwe_jax.sources.tables.broken_rows import BrokenRows

# A part of a row group, or of a gzipped file, is reached by decoding what stands before it, so they are cut into few.
PARTS = 20

# Places of rows, for messages, and values by column.
Rows = Iterator[tuple[str, dict[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class Range:
    """Consecutive rows of a table.

    Attributes:
      start: first byte of the content of a text file, first row group of a Parquet file, or first row of others; -1
        begins at the first row.
      stop: behind the last; -1 ends at the last row.
      first: number of the first row: of its line in a text file, from 1, or of the row in others.
      rows: how many, as far as the cutting could see; -1 is all.
      skip: rows of the first row group that belong to ranges before.
    """

    start: int = -1
    stop: int = -1
    first: int = 1
    rows: int = -1
    skip: int = 0


@dataclass(frozen=True, kw_only=True)
class Chunk(Range):
    """A range of a file.

    Attributes:
      path: of the file.
      name: of the file, for messages.
      quoted: whether quotes enclose the fields of a text file; None where that is not known.
      size: bytes of the file when it was cut; -1 where nobody has looked.
      mtime_ns: when the file was last changed before it was cut, likewise.
    """

    path: str
    name: str
    quoted: bool | None = None
    size: int = -1
    mtime_ns: int = -1


class Table(ABC):
    """A table of any format.

    Attributes:
      name: for messages.
      columns: their names, stripped; those of JSON are the keys of its first rows.
      told: how it is read, for messages.
      named: whether the format tells names of columns from values; else the first row is taken for names.
      any_keys: whether a row may have columns that `columns` lacks.
      quoted: see `Chunk`.
    """

    name: str
    columns: list[str]
    told: str
    named = True
    any_keys = False
    quoted: bool | None = None

    @abstractmethod
    def cut(self, rows: int) -> list[Range]:
        """Ranges of about so many rows; UserError where it cannot be told from some line on where rows begin."""

    @abstractmethod
    def rows(self, where: Range, columns: Sequence[str], broken: BrokenRows) -> Rows:
        """Yields the rows of a range, each with the values of at least these columns where it has them."""


def merged(ranges: list[Range]) -> list[Range]:
    """At most `PARTS` ranges of about the same size."""
    size = max(1, -(-len(ranges) // PARTS))
    groups = [ranges[start : start + size] for start in range(0, len(ranges), size)]
    return [replace(group[0], stop=group[-1].stop, rows=sum(each.rows for each in group)) for group in groups]
