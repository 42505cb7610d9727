"""Tables in text files, cut at bytes: fields between separators, one text per line, one JSON object per line."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache

from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.tables.chunk import Chunk, Rows, Table, chunks_of
from uwe_jax.sources.tables.delimited import Dialect, UnparsableRecord
from uwe_jax.sources.tables.lines import TextFile
from uwe_jax.sources.tables.problems import BrokenRows, shorten
from uwe_jax.sources.tables.values import as_row, no_row, parse_json

_UTF8 = "UTF-8 text"
_PER_LINE = ", one per line; a list of objects belongs in a .json file"
_QUOTES = 'quotes around a field and doubled ("") inside it'


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
        records = self.dialect.records(self._file)
        extents = ((lines[0].begin, lines[-1].end, lines[0].number) for _, lines in records)
        try:
            return chunks_of(extents, rows, few=self._file.packed)
        except UnparsableRecord as error:
            raise UserError(
                f"{self.name}, line {error.line}: {error}, so that the rows after it cannot be told apart. "
                f"Expected {_QUOTES}: correct that row and run again."
            ) from error

    def rows(self, where: Chunk, columns: Sequence[str], broken: BrokenRows) -> Rows:
        places = {column: self.columns.index(column) for column in columns if column in self.columns}
        name, width = self.name, len(self.columns)
        try:
            for fields, lines in self.dialect.records(self._file, where):
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


class JsonLines(Table):
    """One JSON object, or text in JSON, per line."""

    told = "JSON lines"
    any_keys = True

    def __init__(self, file: TextFile):
        self._file = file
        self.name = file.name

    @cached_property
    def columns(self) -> list[str]:  # type: ignore[override]
        """The keys of all rows: writers that leave out empty values may write a key late."""
        stamp = self._file.path.stat() if self._file.path else None
        return list(_keys(self._file, *((stamp.st_size, stamp.st_mtime_ns) if stamp else ())))

    def cut(self, rows: int) -> list[Chunk]:
        lines = (line for line in self._file.lines() if line.text.strip())
        return chunks_of(((line.begin, line.end, line.number) for line in lines), rows, few=self._file.packed)

    def rows(self, where: Chunk, columns: Sequence[str], broken: BrokenRows) -> Rows:
        expected = no_row("", columns)[1] + _PER_LINE
        for line in self._file.lines(max(0, where.start), where.stop, where.first):
            place = f"{self.name}, line {line.number}"
            if line.fault:
                broken.add(place, line.fault, _UTF8)
            elif line.text.strip():
                try:
                    value = parse_json(line.text)
                except ValueError as error:
                    broken.add(place, f"invalid JSON ({error})", expected)
                    continue
                row = as_row(value)
                if row is None:
                    broken.add(place, no_row(value, columns)[0], expected)
                else:
                    yield place, row


@lru_cache(maxsize=64)
def _keys(file: TextFile, *_stamp: int) -> tuple[str, ...]:
    """Returns the keys of all JSON lines, or of those before a damage, which is reported when rows are read."""
    found: dict[str, None] = {}
    read = False
    try:
        for line in file.lines():
            read = True
            try:
                found |= dict.fromkeys(as_row(parse_json(line.text)) or {})
            except ValueError:
                continue
    except UserError:
        if not read:
            raise
    return tuple(found)
