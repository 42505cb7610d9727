"""Tables too large to be held: a file is cut into chunks of rows once, and each chunk is read on its own as a stream.

CSV, TSV and JSON lines, each also gzipped, are cut into byte ranges between rows, Parquet into row groups or parts of
them.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.zips import check_unpacked, whole_gzip
from uwe_jax.sources.tables.broken_rows import BrokenRows
from uwe_jax.sources.tables.chunk import PARTS, Chunk
from uwe_jax.sources.tables.parquet_chunks import cut_parquet, open_parquet, parquet_rows
from uwe_jax.sources.tables.problems import shorten
from uwe_jax.sources.tables.typed_rows import DELIMITERS, FORMATS, half_pair, parse_json, table_format

_FIELD_LIMIT = 10_000_000  # characters of a CSV field
_LINE_LIMIT = 1 << 26  # bytes
_LOOK = 100  # rows of JSON lines whose keys count as the columns of the file
_GZIP = ".gz"
_BOM = b"\xef\xbb\xbf"


def column_names(path: Path) -> list[str]:
    """The columns of a table; for JSON lines the keys of its first hundred rows.

    Raises:
      UserError: it cannot be read, or is in no format of `FORMATS`.
    """
    suffix = _unzipped(path)
    if suffix == ".parquet":
        return list(open_parquet(path, path).schema_arrow.names)
    if suffix in DELIMITERS:
        _, header, _ = _header(path)
        return [name.strip() for name in header]
    if suffix != ".jsonl":
        raise UserError(f"{path} is in no format that is read here. Expected a file ending in {', '.join(FORMATS)}.")
    keys: dict[str, None] = {}
    for number, (_, line, _) in enumerate(_json_lines(path, _text_start(path), -1, 1)):
        if number == _LOOK:
            break
        try:
            row = parse_json(line)
        except ValueError:
            continue
        keys.update(dict.fromkeys(row) if isinstance(row, dict) else {})
    return list(keys)


def cut(path: Path, name: str, rows: int) -> list[Chunk]:
    """Cuts a file into chunks of about so many rows, reading it once as a stream.

    Raises:
      UserError: it cannot be read, or from some line on nobody can tell where rows begin.
    """
    size, mtime_ns = stamp(path)
    return [replace(chunk, size=size, mtime_ns=mtime_ns) for chunk in _cut(path, name, rows)]


def stamp(path: Path) -> tuple[int, int]:
    """Size and time of change of a file, by which a chunk tells that it has changed since."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _cut(path: Path, name: str, rows: int) -> list[Chunk]:
    if _unzipped(path) == ".parquet":
        return cut_parquet(path, name, rows)
    ends = _csv_records(path, name) if _unzipped(path) in DELIMITERS else _json_records(path)
    chunks: list[Chunk] = []
    start, first, count, stop = -1, 0, 0, 0
    for line, begin, stop, _ in ends:
        if start < 0:
            start, first = begin, line
        count += 1
        if count == rows:
            chunks.append(Chunk(str(path), name, start, stop, first, count))
            start, count = -1, 0
    if count:
        chunks.append(Chunk(str(path), name, start, stop, first, count))
    return _merged(chunks) if path.suffix.lower() == _GZIP else chunks


def read_chunk(chunk: Chunk, columns: Sequence[str], broken: BrokenRows) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a chunk.

    Args:
      columns: wanted, as `column_names` gives them.
      broken: takes one entry per row that cannot be read.

    Yields:
      The place of a row, for messages, and its values as the file has them: text in CSV, whatever JSON or Parquet hold
      elsewhere, None where a row lacks a column.

    Raises:
      UserError: the file has changed since it was cut, or is damaged.
    """
    path = Path(chunk.path)
    if chunk.size >= 0 and stamp(path) != (chunk.size, chunk.mtime_ns):
        raise UserError(
            f"{path} has changed since it was cut into chunks ({chunk.size:,} bytes then, {path.stat().st_size:,} "
            "now), so nobody can tell where its rows begin. Run again while nothing writes to it."
        )
    suffix = _unzipped(path)
    if suffix == ".parquet":
        rows = parquet_rows(chunk, path, columns)
    elif suffix in DELIMITERS:
        rows = _csv_rows(chunk, path, columns, broken)
    else:
        rows = _json_rows(chunk, path, columns, broken)
    for place, row in rows:
        if any(map(half_pair, row.values())):
            broken.add(place, "bytes that are no UTF-8, or half a surrogate pair", "UTF-8 text")
        else:
            yield place, row


def _unzipped(path: Path) -> str:
    """The ending of a table's name without that of gzip; "" of any other file."""
    return table_format(path).removesuffix(_GZIP)


@contextmanager
def _opened(path: Path, start: int = 0) -> Iterator[Any]:
    """The content of a text file from some byte on."""
    with whole_gzip(path, path), gzip.open(path) if path.suffix.lower() == _GZIP else path.open("rb") as file:
        file.seek(start)
        yield file


def _lines(file: Any, path: Path, start: int) -> Iterator[bytes]:
    """The lines of a file that was opened at some byte, none without bounds, nor all of a gzipped file.

    Raises:
      UserError: a line is longer than any record, or a gzipped file unpacks to more than it may.
    """
    packed, position = path.stat().st_size if path.suffix.lower() == _GZIP else -1, start
    while line := file.readline(_LINE_LIMIT):
        position += len(line)
        if packed >= 0:
            check_unpacked(path, packed, position)
        if len(line) == _LINE_LIMIT:
            raise UserError(
                f"{path} has a line of at least {_LINE_LIMIT:,} bytes, from byte {position - len(line):,} on; a table "
                "of text has none. Write it with a line feed behind every row."
            )
        yield line


def _merged(chunks: list[Chunk]) -> list[Chunk]:
    """At most `PARTS` chunks of about the same size."""
    size = -(-len(chunks) // PARTS)
    groups = [chunks[start : start + size] for start in range(0, len(chunks), max(1, size))]
    return [replace(group[0], stop=group[-1].stop, rows=sum(chunk.rows for chunk in group)) for group in groups]


def _text_start(path: Path) -> int:
    with _opened(path) as file:
        head = file.read(3)
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UserError(f"{path} is UTF-16 text. Expected UTF-8: save it again as UTF-8 and run again.")
    return len(_BOM) if head == _BOM else 0


def _header(path: Path) -> tuple[int, list[str], int]:
    """First byte behind the header, the header, and the number of the line behind it."""
    for line, _, stop, fields in _csv_records(path, path.name, header=True):
        return stop, fields, line
    raise UserError(f"{path} is empty. Expected a header with the names of the columns.")


def _csv_records(
    path: Path,
    name: str,
    *,
    header: bool = False,
    start: int = -1,
    stop: int = -1,
    line: int = 1,
) -> Iterator[tuple[int, int, int, list[str]]]:
    """Line, first byte, byte behind the last, and fields of every record that is no blank line.

    Bytes that are no UTF-8 become surrogates, which no text holds, so that one such row does not cost the others.
    """
    if start < 0:
        # the first line number is that of the record, as the csv module counts them, and the header is one of them
        start, line = (_text_start(path), 1) if header else _behind_header(path)
    position, count = start, 0
    with _opened(path, start) as file:

        def lines() -> Iterator[str]:
            nonlocal position, count
            for each in _lines(file, path, start):
                if 0 <= stop <= position:
                    return
                position += len(each)
                count += 1
                yield each.decode("utf-8", "surrogateescape")

        # strict: without it an unclosed quote silently swallows the rest of the file as one field
        reader = csv.reader(lines(), delimiter=DELIMITERS[_unzipped(path)], strict=True)
        try:
            while True:
                begin, number = position, line + count
                # For this row alone: whoever takes the rows may read other files meanwhile, or never take the last one.
                before = csv.field_size_limit(_FIELD_LIMIT)
                try:
                    fields = next(reader)
                except StopIteration:
                    return
                finally:
                    csv.field_size_limit(before)
                if fields:
                    yield number, begin, position, fields
        except csv.Error as error:
            raise UserError(
                f"{name}, line {line + count}: a row that cannot be parsed ({error}), so that nobody can tell where "
                'the rows behind it begin. Expected quotes around a field and doubled ("") inside it: correct that row '
                "and run again."
            ) from error


def _behind_header(path: Path) -> tuple[int, int]:
    stop, header, line = _header(path)
    return stop, line + 1 + sum(field.count("\n") for field in header)


def _csv_rows(
    chunk: Chunk, path: Path, columns: Sequence[str], broken: BrokenRows
) -> Iterator[tuple[str, dict[str, Any]]]:
    _, header, _ = _header(path)
    names = [name.strip() for name in header]
    places = {column: names.index(column) for column in columns if column in names}
    records = _csv_records(path, chunk.name, start=chunk.start, stop=chunk.stop, line=chunk.first)
    for line, _, _, fields in records:
        place = f"{chunk.name}, line {line}"
        if len(fields) != len(header):
            found = f"{len(fields)} fields, the first {shorten(fields[0].encode('utf-8', 'replace').decode())}"
            broken.add(place, found, f"{len(header)} as in the header")
        else:
            yield place, {column: fields[number] for column, number in places.items()}


def _json_lines(path: Path, start: int, stop: int, line: int) -> Iterator[tuple[int, bytes, tuple[int, int]]]:
    position = start
    with _opened(path, start) as file:
        for number, each in enumerate(_lines(file, path, start), line):
            if 0 <= stop <= position:
                return
            position += len(each)
            if each.strip():
                yield number, each, (position - len(each), position)


def _json_records(path: Path) -> Iterator[tuple[int, int, int, bytes]]:
    for number, line, (begin, end) in _json_lines(path, _text_start(path), -1, 1):
        yield number, begin, end, line


def _json_rows(
    chunk: Chunk, path: Path, columns: Sequence[str], broken: BrokenRows
) -> Iterator[tuple[str, dict[str, Any]]]:
    expected = "a JSON object on a line"
    for number, line, _ in _json_lines(path, chunk.start, chunk.stop, chunk.first):
        place = f"{chunk.name}, line {number}"
        try:
            row = parse_json(line.decode("utf-8", "surrogateescape"))
        except ValueError as error:
            broken.add(place, f"invalid JSON ({error})", expected)
            continue
        if isinstance(row, dict):
            yield place, {column: row.get(column) for column in columns}
        else:
            broken.add(place, shorten(json.dumps(row)), expected)
