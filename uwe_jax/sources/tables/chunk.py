"""A part of a table that is read on its own."""

from __future__ import annotations

from dataclasses import dataclass

# A part of a row group, or of a gzipped file, is reached by decoding what stands before it, so they are cut into few.
PARTS = 20


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows of one file.

    Attributes:
      path: of the file.
      name: of the file, for messages.
      start: first byte, of the content where the file is gzipped, or first row group of a Parquet file.
      stop: byte or row group behind the last.
      first: number of the first row: of its line in the file, from 1, or of the row in a Parquet file.
      rows: how many, as far as the cutting could see.
      skip: rows of the first row group that belong to chunks before.
      size: bytes of the file when it was cut; -1 where nobody has looked.
      mtime_ns: when the file was last changed before it was cut, likewise.
    """

    path: str
    name: str
    start: int
    stop: int
    first: int
    rows: int
    skip: int = 0
    size: int = -1
    mtime_ns: int = -1
