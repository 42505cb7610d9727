"""Parquet as a stream, within bounds: row groups, and parts of large ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.zips import check_unpacked
from uwe_jax.sources.tables.chunk import PARTS, Chunk

_BATCH = 512  # rows that are decoded at once


def open_parquet(path: Path, name: Path | str, dictionaries: Sequence[str] = ()) -> Any:
    """Opens a Parquet file.

    Args:
      name: of the file, for messages.
      dictionaries: paths of text columns whose values are decoded once each.

    Raises:
      UserError: it is none, or damaged.
    """
    # imported where it is needed: the import takes a quarter of a second
    import pyarrow.parquet as pq

    with damage_named(path, name):
        return pq.ParquetFile(path, read_dictionary=list(dictionaries))


@contextmanager
def damage_named(path: Path, name: Path | str) -> Iterator[None]:
    """Answers whatever is wrong with a Parquet file with a sentence."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:  # the last two of text and of times
        raise UserError(
            f"{name} cannot be read as Parquet ({path.stat().st_size:,} bytes; {error}). Write it again and run again."
        ) from error


def read_batches(
    path: Path, name: Path | str, columns: Sequence[str], rows: int, groups: Sequence[int] | None = None
) -> Iterator[Any]:
    """Record batches of some columns of a Parquet file.

    A few kilobytes may name one large text in every row: texts are decoded once each and counted before they are
    repeated.

    Args:
      path: of the file.
      name: of the file, for messages.
      columns: that it has.
      rows: at most, of a batch.
      groups: row groups; None takes all.

    Raises:
      UserError: it is damaged, or unpacks to more than `most_unpacked`.
    """
    import pyarrow as pa

    with open_parquet(path, name) as file:
        metadata, schema = file.metadata, file.schema_arrow
        leaves = [(number, file.schema.column(number)) for number in range(len(file.schema))]
    groups = range(metadata.num_row_groups) if groups is None else groups
    size, unpacked = path.stat().st_size, 8 * sum(metadata.row_group(group).num_rows for group in groups)  # a pointer
    for number, leaf in leaves:
        if leaf.path.split(".")[0] in columns:
            for part in (metadata.row_group(group).column(number) for group in groups):
                unpacked += max(part.total_uncompressed_size, part.num_values * max(8, leaf.length))
    check_unpacked(name, size, unpacked)
    unpacked = 0
    texts = [leaf.path for _, leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    with open_parquet(path, name, texts) as file, damage_named(path, name):
        for batch in file.iter_batches(rows, row_groups=groups, columns=list(columns)):
            unpacked += sum(map(_repeated_bytes, batch.columns))
            check_unpacked(name, size, unpacked)
            try:
                yield batch.cast(pa.schema([schema.field(name) for name in batch.schema.names]))
            except pa.ArrowNotImplementedError:  # of some types of text; dictionaries of them give the same, slower
                yield batch


def _repeated_bytes(array: Any) -> int:
    """Bytes of an array whose texts stand in every row."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(array.type):
        return pc.sum(pc.binary_length(array.dictionary).take(array.indices)).as_py() or 0
    if pa.types.is_nested(array.type):
        inner = array.flatten()
        return sum(map(_repeated_bytes, inner if isinstance(inner, list) else [inner]))
    return array.nbytes


def cut_parquet(path: Path, name: str, rows: int) -> list[Chunk]:
    with open_parquet(path, path) as file:
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
    skip, left, number = chunk.skip, chunk.rows, chunk.first
    for batch in read_batches(path, path, columns, _BATCH, range(chunk.start, chunk.stop)):
        passed = min(skip, batch.num_rows)
        skip -= passed
        with damage_named(path, path):
            rows = batch.slice(passed, left).to_pylist()
        for row in rows:
            yield f"{chunk.name}, row {number}", row
            number += 1
        left -= len(rows)
        if not left:
            return
