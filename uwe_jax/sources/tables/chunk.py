"""The interface of tables of all formats, and chunks of them that are read independently."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from uwe_jax.sources.tables.problems import BrokenRows

# A chunk of a row group or of a gzip file is reached by decoding what is before it: these are cut into few chunks.
PARTS = 20

# Places of rows, for messages, and values by column.
Rows = Iterator[tuple[str, dict[str, Any]]]


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
    columns: list[str]  # their names, stripped; in JSON the keys of the first rows
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


def chunks_of(extents: Iterable[tuple[int, int, int]], rows: int, *, few: bool) -> list[Chunk]:
    """Returns chunks of so many rows.

    Args:
      extents: start, stop and number of each row.
      few: merge them into at most `PARTS` chunks of about the same size.
    """
    chunks: list[Chunk] = []
    start, first, count, stop = -1, 0, 0, 0
    for begin, stop, number in extents:
        if not count:
            start, first = begin, number
        count += 1
        if count == rows:
            chunks.append(Chunk(start=start, stop=stop, first=first, rows=count))
            count = 0
    if count:
        chunks.append(Chunk(start=start, stop=stop, first=first, rows=count))
    size = max(1, -(-len(chunks) // PARTS)) if few else 1
    groups = [chunks[start : start + size] for start in range(0, len(chunks), size)]
    return [replace(group[0], stop=group[-1].stop, rows=sum(each.rows for each in group)) for group in groups]
