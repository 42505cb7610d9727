"""Parquet as a stream: row groups, and parts of large ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.tables.chunk import PARTS, Chunk

_BATCH = 512  # rows that are decoded at once


def open_parquet(path: Path) -> Any:
    # imported where it is needed: the import takes a quarter of a second
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(
        f"{path} cannot be read as Parquet ({path.stat().st_size:,} bytes; {error}). Write it again and run again."
    )


def cut_parquet(path: Path, name: str, rows: int) -> list[Chunk]:
    with open_parquet(path) as file:
        lengths = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
    chunks: list[Chunk] = []
    first, group = 1, 0
    while group < len(lengths):
        length, stop = lengths[group], group + 1
        if length > rows:
            step = max(rows, -(-length // PARTS))
            for skip in range(0, length, step):
                chunks.append(Chunk(str(path), name, group, stop, first + skip, min(step, length - skip), skip))
        else:
            while stop < len(lengths) and length + lengths[stop] <= rows:
                length += lengths[stop]
                stop += 1
            if length:
                chunks.append(Chunk(str(path), name, group, stop, first, length))
        first, group = first + length, stop
    return chunks


def parquet_rows(chunk: Chunk, path: Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    import pyarrow as pa

    skip, left, number = chunk.skip, chunk.rows, chunk.first
    try:
        with open_parquet(path) as file:
            for batch in file.iter_batches(_BATCH, row_groups=range(chunk.start, chunk.stop), columns=list(columns)):
                passed = min(skip, batch.num_rows)
                skip -= passed
                rows = batch.slice(passed, left).to_pylist()
                for row in rows:
                    yield f"{chunk.name}, row {number}", row
                    number += 1
                left -= len(rows)
                if not left:
                    return
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:  # the last two of text and of times
        raise _damaged(path, error) from error
