"""Tables that are read whole: sheets, and JSON as one list. They are cut at rows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.zips import read_gzip
from uwe_jax.sources.tables.broken_rows import BrokenRows
from uwe_jax.sources.tables.chunk import Chunk, Rows, Table, merged
from uwe_jax.sources.tables.excel import read_sheet
from uwe_jax.sources.tables.formats import GZIP
from uwe_jax.sources.tables.lines import TextFile
from uwe_jax.sources.tables.text_tables import as_row, chunks_of, no_row
from uwe_jax.sources.tables.values import parse_json


class ListedTable(Table):
    """Rows in memory."""

    def __init__(self, name: str, columns: list[str], rows: list[tuple[int, Any]], *, told: str, named: bool):
        self.name = name
        self._rows = rows
        self.columns, self.told, self.named, self.any_keys = columns, told, named, named

    def cut(self, rows: int) -> list[Chunk]:
        return merged(chunks_of(((index, index + 1, number) for index, (number, _) in enumerate(self._rows)), rows))

    def rows(self, where: Chunk, columns: Sequence[str], broken: BrokenRows) -> Rows:
        stop = None if where.stop < 0 else where.stop
        for number, value in islice(self._rows, max(0, where.start), stop):
            place, row = f"{self.name}, row {number}", as_row(value)
            if row is None:
                broken.add(place, *no_row(value, columns))
            else:
                yield place, row


def sheet_table(path: Path, name: str, header: bool) -> ListedTable:
    """The first visible sheet of an Excel or OpenDocument file.

    Args:
      name: of the file, for messages.
      header: whether the first row that is not empty names the columns; else they are called 1, 2 and so on.

    Raises:
      UserError: it cannot be read, or is empty.
    """
    content = read_gzip(path, name) if path.suffix.lower() == GZIP else path.read_bytes()
    cells, told = read_sheet(content, name)
    rows = [(number, row) for number, row in enumerate(cells, 1) if any(row)]
    if not rows:
        raise UserError(f"{name} is empty ({told}). Expected a first row with the names of the columns.")
    columns = [cell.strip() if header else str(place) for place, cell in enumerate(rows[0][1], 1)]
    # reversed, so that the first of two columns of one name counts, as in text files
    values = [(number, dict(zip(reversed(columns), reversed(row), strict=True))) for number, row in rows[header:]]
    return ListedTable(name, columns, values, told=told, named=False)


def json_table(file: TextFile) -> ListedTable:
    """JSON as one list of objects, or of texts.

    Raises:
      UserError: it is no JSON, or no UTF-8 text.
    """
    lines = list(file.lines())
    for line in lines:
        if line.fault:
            raise UserError(f"{file.name}, line {line.number}: found {line.fault}; expected UTF-8 text.")
    try:
        values = parse_json("".join(line.text for line in lines))
    except ValueError as error:
        raise UserError(f"{file.name} is no JSON ({error}). Write or download {file.path} again.") from error
    assert isinstance(values, list)  # it begins with a bracket
    columns = dict.fromkeys(key for value in values for key in as_row(value) or {})
    return ListedTable(file.name, list(columns), list(enumerate(values, 1)), told="a JSON list", named=True)
