"""Tables in text files, cut at bytes: fields between separators, one text per line, one JSON object per line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.tables.broken_rows import BrokenRows
from uwe_jax.sources.tables.chunk import WHOLE, Chunk, Rows, Table, merged
from uwe_jax.sources.tables.delimited import Dialect, Record, UnparsableRecord
from uwe_jax.sources.tables.lines import TextFile
from uwe_jax.sources.tables.problems import shorten
from uwe_jax.sources.tables.values import parse_json

_UTF8 = "UTF-8 text"
_QUOTES = 'quotes around a field and doubled ("") inside it'


def chunks_of(extents: Iterator[tuple[int, int, int]], rows: int) -> list[Chunk]:
    """Chunks of so many rows each.

    Args:
      extents: where each row begins and ends, and its number.
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
    return [*chunks, Chunk(start=start, stop=stop, first=first, rows=count)] if count else chunks


def as_row(value: object) -> dict[str, Any] | None:
    """The row that a value in JSON is: an object, or a text alone; None of other values."""
    return {"text": value} if isinstance(value, str) else value if isinstance(value, dict) else None


def no_row(value: object, columns: Sequence[str]) -> tuple[str, str]:
    """What was found and what was expected in the place of a row in JSON."""
    return shorten(json.dumps(value)), f"a JSON object with the keys {', '.join(columns)}"


class DelimitedTable(Table):
    """Fields between separators below a header, or one text per line."""

    def __init__(self, file: TextFile, dialect: Dialect):
        self._file = file
        self.dialect = dialect
        self.name = file.name
        self.columns = list(dialect.header)
        self.told = str(dialect)
        self.named = not dialect.separator
        self.quoted = dialect.quoted

    def cut(self, rows: int) -> list[Chunk]:
        try:
            chunks = chunks_of(
                ((lines[0].begin, lines[-1].end, lines[0].number) for _, lines in self._records(WHOLE)), rows
            )
        except UnparsableRecord as error:
            raise UserError(
                f"{self.name}, line {error.line}: {error}, so that nobody can tell where the rows behind it "
                f"begin. Expected {_QUOTES}: correct that row and run again."
            ) from error
        return merged(chunks) if self._file.packed else chunks

    def rows(self, where: Chunk, columns: Sequence[str], broken: BrokenRows) -> Rows:
        places = {column: self.columns.index(column) for column in columns if column in self.columns}
        name, width = self.name, len(self.columns)
        try:
            for fields, lines in self._records(where):
                place = f"{name}, line {lines[0].number}"
                if fault := next((line for line in lines if line.fault), None):
                    broken.add(f"{name}, line {fault.number}", fault.fault, _UTF8)
                elif len(fields) != width:
                    found = f"{len(fields)} fields, the first {shorten(fields[0])}"
                    broken.add(place, found, f"{width} as in the header")
                else:
                    yield place, {column: fields[number] for column, number in places.items()}
        except UnparsableRecord as error:
            broken.add(f"{name}, line {error.line}", str(error), f"{_QUOTES}; the rest of the file was not read")

    def _records(self, where: Chunk) -> Iterator[Record]:
        return self.dialect.records(self._file, where.start, where.stop, where.first)


class JsonLines(Table):
    """A JSON object, or a text in JSON, per line."""

    told = "JSON lines"
    any_keys = True

    def __init__(self, file: TextFile):
        self._file = file
        self.name = file.name
        self.columns: list[str] = []
        for line in file.head():
            try:
                row = as_row(parse_json(line.text)) or {}
            except ValueError:
                continue
            self.columns = list(dict.fromkeys((*self.columns, *row)))

    def cut(self, rows: int) -> list[Chunk]:
        lines = (line for line in self._file.lines() if line.text.strip())
        chunks = chunks_of(((line.begin, line.end, line.number) for line in lines), rows)
        return merged(chunks) if self._file.packed else chunks

    def rows(self, where: Chunk, columns: Sequence[str], broken: BrokenRows) -> Rows:
        for line in self._file.lines(max(0, where.start), where.stop, where.first):
            place = f"{self.name}, line {line.number}"
            if line.fault:
                broken.add(place, line.fault, _UTF8)
            elif line.text.strip():
                try:
                    value = parse_json(line.text)
                except ValueError as error:
                    broken.add(place, f"invalid JSON ({error})", no_row("", columns)[1])
                    continue
                row = as_row(value)
                if row is None:
                    broken.add(place, *no_row(value, columns))
                else:
                    yield place, row
