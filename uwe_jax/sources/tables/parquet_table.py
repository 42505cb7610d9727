"""Parquet as a stream: row groups, and parts of large ones."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.zips import check_unpacked, read_gzip
from uwe_jax.sources.tables.broken_rows import BrokenRows
from uwe_jax.sources.tables.chunk import PARTS, Chunk, Rows, Table
from uwe_jax.sources.tables.formats import GZIP

_BATCH = 512  # rows that are decoded at once


class ParquetTable(Table):
    """A Parquet file."""

    told = "Parquet"

    def __init__(self, path: Path, name: str):
        self._path, self.name = path, name
        with self._open() as file:
            self.columns: list[str] = list(file.schema_arrow.names)
            self._lengths = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]

    def cut(self, rows: int) -> list[Chunk]:
        chunks: list[Chunk] = []
        first, group = 1, 0
        while group < len(self._lengths):
            length, stop = self._lengths[group], group + 1
            if length > rows:
                step = max(rows, -(-length // PARTS))
                for skip in range(0, length, step):
                    count = min(step, length - skip)
                    chunks.append(Chunk(start=group, stop=stop, first=first + skip, rows=count, skip=skip))
            else:
                while stop < len(self._lengths) and length + self._lengths[stop] <= rows:
                    length += self._lengths[stop]
                    stop += 1
                if length:
                    chunks.append(Chunk(start=group, stop=stop, first=first, rows=length))
            first, group = first + length, stop
        return chunks

    def rows(self, where: Chunk, columns: Sequence[str], broken: BrokenRows) -> Rows:
        import pyarrow as pa

        del broken  # damage to a file of columns is none of single rows
        groups = range(max(0, where.start), len(self._lengths) if where.stop < 0 else where.stop)
        left = sum(self._lengths) if where.rows < 0 else where.rows
        skip, number = where.skip, where.first
        size, decoded = self._path.stat().st_size, 8 * left  # a pointer a row at least
        check_unpacked(self.name, size, decoded)
        try:
            with self._open() as file:
                wanted = [column for column in columns if column in self.columns]
                for batch in file.iter_batches(_BATCH, row_groups=groups, columns=wanted):
                    decoded += batch.nbytes
                    check_unpacked(self.name, size, decoded)
                    passed = min(skip, batch.num_rows)
                    skip -= passed
                    rows = batch.slice(passed, left).to_pylist()
                    for row in rows:
                        yield f"{self.name}, row {number}", row
                        number += 1
                    left -= len(rows)
                    if not left:
                        return
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:  # the last two of text and of times
            raise self._damaged(error) from error

    def _open(self) -> Any:
        # imported where it is needed: the import takes a quarter of a second
        import pyarrow as pa
        import pyarrow.parquet as pq

        packed = self._path.suffix.lower() == GZIP
        source = io.BytesIO(read_gzip(self._path, self.name)) if packed else self._path
        try:
            return pq.ParquetFile(source)
        except (pa.ArrowException, OSError) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> UserError:
        size = f"{self._path.stat().st_size:,} bytes; {error}"
        return UserError(f"{self.name} cannot be read as Parquet ({size}). Write it again and run again.")
