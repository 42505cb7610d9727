"""Reads Parquet as a stream: row groups, and parts of large ones."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.zips import check_unpacked, read_gzip
from uwe_jax.sources.tables.chunk import PARTS, Chunk, Rows, Table
from uwe_jax.sources.tables.formats import GZIP
from uwe_jax.sources.tables.problems import BrokenRows

_BATCH = 512  # rows per record batch


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
        del broken  # damage affects the file, not single rows
        groups = range(max(0, where.start), len(self._lengths) if where.stop < 0 else where.stop)
        left = sum(self._lengths) if where.rows < 0 else where.rows
        skip, number = where.skip, where.first
        for batch in self._batches([column for column in columns if column in self.columns], groups):
            passed = min(skip, batch.num_rows)
            skip -= passed
            with self._damage_named():
                rows = batch.slice(passed, left).to_pylist()
            for row in rows:
                yield f"{self.name}, row {number}", row
                number += 1
            left -= len(rows)
            if not left:
                return

    def _batches(self, columns: list[str], groups: Sequence[int]) -> Iterator[Any]:
        """Reads record batches within memory bounds.

        A few kilobytes may repeat one large text in every row: texts are decoded once each, and counted before they
        are repeated.
        """
        import pyarrow as pa

        with self._open() as file:
            metadata, schema = file.metadata, file.schema_arrow
            leaves = [(number, file.schema.column(number)) for number in range(len(file.schema))]
        size = self._path.stat().st_size
        unpacked = 8 * sum(metadata.row_group(group).num_rows for group in groups)  # a pointer per row
        for number, leaf in leaves:
            if leaf.path.split(".")[0] in columns:
                for part in (metadata.row_group(group).column(number) for group in groups):
                    unpacked += max(part.total_uncompressed_size, part.num_values * max(8, leaf.length))
        check_unpacked(self.name, size, unpacked)
        unpacked = 0
        texts = [leaf.path for _, leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
        with self._open(texts) as file, self._damage_named():
            for batch in file.iter_batches(_BATCH, row_groups=groups, columns=columns):
                unpacked += sum(map(_repeated_bytes, batch.columns))
                check_unpacked(self.name, size, unpacked)
                # Some text types have no such cast; dictionaries give the same values, slower.
                with suppress(pa.ArrowNotImplementedError):
                    batch = batch.cast(pa.schema([schema.field(name) for name in batch.schema.names]))
                yield batch

    def _open(self, dictionaries: Sequence[str] = ()) -> Any:
        """Opens the file; `dictionaries` are paths of text columns whose values are decoded once each."""
        # Imported here: it takes a quarter of a second.
        import pyarrow.parquet as pq

        packed = self._path.suffix.lower() == GZIP
        source = io.BytesIO(read_gzip(self._path, self.name)) if packed else self._path
        with self._damage_named():
            return pq.ParquetFile(source, read_dictionary=list(dictionaries))

    @contextmanager
    def _damage_named(self) -> Iterator[None]:
        import pyarrow as pa

        try:
            yield
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:  # the last two of text and of times
            size = f"{self._path.stat().st_size:,} bytes; {error}"
            raise UserError(f"{self.name} cannot be read as Parquet ({size}). Write it again and run again.") from error


def _repeated_bytes(array: Any) -> int:
    """Returns the bytes of an array with its texts repeated in every row."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(array.type):
        return pc.sum(pc.binary_length(array.dictionary).take(array.indices)).as_py() or 0
    if pa.types.is_nested(array.type):
        inner = array.flatten()
        return sum(map(_repeated_bytes, inner if isinstance(inner, list) else [inner]))
    return array.nbytes
