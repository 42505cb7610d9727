"""Reads tables of texts as Arrow columns: Parquet and delimited text without an object per row, others by rows."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import logging
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv
import pyarrow.parquet as pq

from uwe_jax.runtime.zips import check_unpacked
from uwe_jax.sources.tables.chunk import NONE
from uwe_jax.sources.tables.delimited import Dialect
from uwe_jax.sources.tables.formats import GZIP, SEPARATED, table_format
from uwe_jax.sources.tables.problems import Problems
from uwe_jax.sources.tables.reading import open_table, read_rows, tell
from uwe_jax.sources.tables.text_tables import DelimitedTable

# Raised for a file that is damaged, or has other values than texts.
UNREADABLE = (pa.ArrowException, OSError, EOFError, ValueError, OverflowError, KeyError, csv.Error)

_CODED = pa.dictionary(pa.int32(), pa.string())
_SPACE = "".join(filter(str.isspace, map(chr, range(1 << 16))))  # as `str.strip` removes
_ROWS = 65_536  # per batch of a row reader
_BLOCK = 1 << 23  # bytes of delimited text per block; a longer row is left to the row reader
_QUOTE, _LINE_FEED, _RETURN = b'"\n\r'


def read_columns(
    path: Path,
    name: str,
    columns: Mapping[str, str],
    problems: Problems,
    *,
    optional: Mapping[str, str] = NONE,
    level: int = logging.INFO,
) -> pa.Table:
    """Reads columns of texts; arguments and errors are those of `read_rows`, and so are the values.

    A file with anything unusual is read by the row reader, which names each broken row.

    Returns:
      A dictionary-encoded column of strings without nulls per name, "" where a row has no value.
    """
    ending = table_format(path).removesuffix(GZIP)
    try:
        if ending == ".parquet":
            return parquet_columns(path, name, columns, optional)
        if ending in SEPARATED:
            return _delimited_columns(path, name, columns, optional, level)
    except UNREADABLE:
        pass
    chunks: dict[str, list[pa.Array]] = {column: [] for column in (*columns, *optional)}
    rows = read_rows(path, name, columns, problems, optional=optional, level=level)
    while batch := list(islice(rows, _ROWS)):
        for column, listed in chunks.items():
            listed.append(pa.array([row[column] for _, row in batch], pa.string()).dictionary_encode())
    return _table(chunks)


def parquet_columns(path: Path, name: str, columns: Mapping[str, str], optional: Mapping[str, str] = NONE) -> pa.Table:
    """Reads columns of a Parquet file as `read_columns` does, one after the other.

    Raises:
      UserError: the file unpacks to too much.
      UNREADABLE: it is damaged, or a column is missing or has another type.
    """
    names = pq.read_schema(path).names
    types = {**columns, **{column: kind for column, kind in optional.items() if column in names}}
    with pq.ParquetFile(path, read_dictionary=list(types)) as file:
        size, unpacked = path.stat().st_size, 8 * file.metadata.num_rows  # at least an index per row and column
        check_unpacked(name, size, unpacked)
        chunks: dict[str, list[pa.Array]] = {}
        for column in types:
            chunks[column] = []
            for group in range(file.num_row_groups):
                for chunk in file.read_row_group(group, [column], use_threads=False).column(column).chunks:
                    coded = _coded(chunk, types[column], column)
                    unpacked += coded.dictionary.nbytes
                    check_unpacked(name, size, unpacked)
                    chunks[column].append(coded)
                pa.default_memory_pool().release_unused()
        return _table(chunks, optional, file.metadata.num_rows)


def _table(chunks: dict[str, list[pa.Array]], optional: Iterable[str] = (), rows: int = 0) -> pa.Table:
    for column in optional:
        if column not in chunks:
            chunks[column] = [pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), [""])]
    return pa.table({column: pa.chunked_array(listed or [pa.array([], _CODED)]) for column, listed in chunks.items()})


def _coded(chunk: pa.Array, kind: str, column: str) -> pa.DictionaryArray:
    """Converts texts, or ids, to a dictionary of strings without nulls; ValueError for other values."""
    if (kind == "id" and pa.types.is_integer(chunk.type)) or pa.types.is_null(chunk.type):
        chunk = chunk.cast(pa.string())
    texts = chunk.type.value_type if pa.types.is_dictionary(chunk.type) else chunk.type
    if not (pa.types.is_string(texts) or pa.types.is_large_string(texts)):
        raise ValueError(f"column {column!r} has values that are not texts")
    chunk.validate(full=True)  # also that they are UTF-8
    if chunk.null_count or (pa.types.is_dictionary(chunk.type) and chunk.dictionary.null_count):
        chunk = chunk.cast(texts).fill_null("")
    if not pa.types.is_dictionary(chunk.type):
        chunk = chunk.dictionary_encode()
    # Some writers store the dictionary of the whole file in every row group.
    indices = chunk.indices.to_numpy()
    used = np.zeros(len(chunk.dictionary), bool)
    used[indices] = True
    indices = (np.cumsum(used, dtype=np.int32) - 1)[indices]
    listed = chunk.dictionary.filter(pa.array(used)).cast(pa.string())
    return pa.DictionaryArray.from_arrays(indices, pc.utf8_trim(listed, _SPACE) if kind == "id" else listed)


def _delimited_columns(
    path: Path, name: str, columns: Mapping[str, str], optional: Mapping[str, str], level: int
) -> pa.Table:
    """Raises UNREADABLE unless the csv module and Arrow read the file alike."""
    table = open_table(path, name)
    assert isinstance(table, DelimitedTable)
    dialect = table.dialect
    types = {**columns, **optional}
    places = {column: table.columns.index(found) for column, found in table.find(columns, optional).items()}
    packed = path.suffix.lower() == GZIP
    with gzip.open(path) if packed else path.open("rb") as file:
        file.seek(dialect.begin)
        plain = _PlainText(file, dialect, path.stat().st_size if packed else -1)
        reader = pv.open_csv(
            pa.PythonFile(plain, "r"),
            pv.ReadOptions(
                use_threads=False, block_size=_BLOCK, column_names=[str(k) for k in range(len(dialect.header))]
            ),
            pv.ParseOptions(
                delimiter=dialect.separator,
                quote_char='"' if dialect.quoted else False,
                newlines_in_values=dialect.quoted,
            ),
            pv.ConvertOptions(
                include_columns=[str(place) for place in places.values()],
                column_types={str(place): _CODED for place in places.values()},
            ),
        )
        chunks: dict[str, list[pa.Array]] = {column: [] for column in places}
        for batch in reader:
            for column, place in places.items():
                chunks[column].append(_coded(batch[str(place)], types[column], column))
    if plain.unusual:
        raise ValueError("quotes or lines that are read in two ways")
    rows = sum(map(len, next(iter(chunks.values()))))
    tell(path, table, rows, level=level)
    return _table(chunks, optional, rows)


class _PlainText(io.RawIOBase):
    """A stream of delimited text that ends, `unusual`, where parsers differ.

    These are quotes that neither begin nor end a field, nor are doubled in one; carriage returns between quotes, after
    which Arrow drops a line feed at the start of its next block; and bytes that are not UTF-8, which Arrow ignores in
    columns that it skips.
    """

    def __init__(self, file: Any, dialect: Dialect, packed: int):
        self._file, self._packed, self._unpacked, self._quoted = file, packed, 0, dialect.quoted
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._around = np.array([ord(dialect.separator), _QUOTE, _LINE_FEED, _RETURN], np.uint8)
        self._last, self._quotes = b"\n", 0  # the last byte before a block, and the quotes before that byte
        self.unusual = False

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        try:
            data = b"" if self.unusual else self._file.read(size)
            self._unpacked += len(data)
            if self._packed >= 0:
                check_unpacked("", self._packed, self._unpacked)
            self._decoder.decode(data, final=not data)
            self.unusual |= self._quoted and not self._is_plain(data)
        except Exception:  # raised again, and reported, by the row reader
            self.unusual = True
        return b"" if self.unusual else data

    def _is_plain(self, data: bytes) -> bool:
        joined = np.frombuffer(self._last + (data or b"\n"), np.uint8)
        marks = np.flatnonzero(joined == _QUOTE)
        opens = (np.arange(len(marks)) + self._quotes) % 2 == 0
        # The first byte was checked with the block before it, the last one is with the next.
        before = joined[marks[opens & (marks > 0)] - 1]
        behind = joined[marks[~opens & (marks < len(joined) - 1)] + 1]
        within = (np.searchsorted(marks, np.flatnonzero(joined == _RETURN)) + self._quotes) % 2
        self._quotes += int(np.count_nonzero(marks < len(joined) - 1))
        self._last = joined[-1:].tobytes()
        return (
            bool(np.isin(before, self._around).all() and np.isin(behind, self._around).all())
            and not within.any()
            and (bool(data) or self._quotes % 2 == 0)
        )
