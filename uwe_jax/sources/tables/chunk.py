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


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows of one file; all of them by default.

    Attributes:
      path: of the file.
      name: of the file, for messages.
      start: first byte of the content of a text file, first row group of a Parquet file, or first row of others; -1
        begins at the first row.
      stop: byte, row group or row behind the last; -1 ends at the last row.
      first: number of the first row: of its line in a text file, from 1, or of the row in others.
      rows: how many, as far as the cutting could see; -1 is all.
      skip: rows of the first row group that belong to chunks before.
      size: bytes of the file when it was cut; -1 where nobody has looked.
      mtime_ns: when the file was last changed before it was cut, likewise.
      quoted: whether quotes enclose the fields of a text file; None where that is not known.
    """

    path: str = ""
    name: str = ""
    start: int = -1
    stop: int = -1
    first: int = 1
    rows: int = -1
    skip: int = 0
    size: int = -1
    mtime_ns: int = -1
    quoted: bool | None = None


WHOLE = Chunk()


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
    def cut(self, rows: int) -> list[Chunk]:
        """Chunks of about so many rows, without their file; UserError where it cannot be told where rows begin."""

    @abstractmethod
    def rows(self, where: Chunk, columns: Sequence[str], broken: BrokenRows) -> Rows:
        """Yields the rows of a chunk, each with the values of at least these columns where it has them."""


def merged(chunks: list[Chunk]) -> list[Chunk]:
    """At most `PARTS` chunks of about the same size."""
    size = max(1, -(-len(chunks) // PARTS))
    groups = [chunks[start : start + size] for start in range(0, len(chunks), size)]
    return [replace(group[0], stop=group[-1].stop, rows=sum(each.rows for each in group)) for group in groups]
