"""Tables that are read whole, and cut at rows: sheets, read by calamine, and JSON as one list."""

from __future__ import annotations

import datetime
import io
import zipfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.zips import ZIP_DAMAGE, check_unpacked, read_gzip
from uwe_jax.sources.tables.chunk import Chunk, Rows, Table, chunks_of
from uwe_jax.sources.tables.formats import GZIP
from uwe_jax.sources.tables.lines import TextFile
from uwe_jax.sources.tables.problems import BrokenRows
from uwe_jax.sources.tables.values import as_row, no_row, parse_json


class ListedTable(Table):
    """Rows in memory."""

    def __init__(self, name: str, columns: list[str], rows: list[tuple[int, Any]], *, told: str, named: bool):
        self.name = name
        self._rows = rows
        self.columns, self.told, self.named, self.any_keys = columns, told, named, named

    def cut(self, rows: int) -> list[Chunk]:
        return chunks_of(((index, index + 1, number) for index, (number, _) in enumerate(self._rows)), rows, few=True)

    def rows(self, where: Chunk, columns: Sequence[str], broken: BrokenRows) -> Rows:
        for number, value in islice(self._rows, max(0, where.start), None if where.stop < 0 else where.stop):
            place, row = f"{self.name}, row {number}", as_row(value)
            if row is None:
                broken.add(place, *no_row(value, columns))
            else:
                yield place, row


def json_table(file: TextFile) -> ListedTable:
    """Reads JSON as one list of objects or texts; UserError if it is neither JSON nor UTF-8 text."""
    lines = list(file.lines())
    for line in lines:
        if line.fault:
            raise UserError(f"{file.name}, line {line.number}: found {line.fault}; expected UTF-8 text.")
    try:
        values = parse_json("".join(line.text for line in lines))
    except ValueError as error:
        raise UserError(f"{file.name} is not valid JSON ({error}). Write or download {file.path} again.") from error
    assert isinstance(values, list)  # it begins with a bracket
    columns = dict.fromkeys(key for value in values for key in as_row(value) or {})
    return ListedTable(file.name, list(columns), list(enumerate(values, 1)), told="a JSON list", named=True)


def sheet_table(path: Path, name: str, header: bool) -> ListedTable:
    """Reads the first visible sheet of an Excel or OpenDocument file.

    Whole numbers have no decimal point and dates are ISO 8601. An empty cell is "".

    Args:
      name: of the file, for messages.
      header: whether the first row that is not empty names the columns; else they are called 1, 2 and so on.

    Raises:
      UserError: it is damaged, encrypted or empty, unpacks to too much, or has no visible sheet.
    """
    # Imported here: few tables are sheets.
    import python_calamine as calamine

    content = read_gzip(path, name) if path.suffix.lower() == GZIP else path.read_bytes()
    try:
        if zipfile.is_zipfile(io.BytesIO(content)):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                check_unpacked(name, len(content), sum(entry.file_size for entry in archive.infolist()))
        book = calamine.load_workbook(io.BytesIO(content))
        wanted = calamine.SheetTypeEnum.WorkSheet, calamine.SheetVisibleEnum.Visible
        sheets = [sheet.name for sheet in book.sheets_metadata if (sheet.typ, sheet.visible) == wanted]
        if not sheets:
            raise UserError(f"{name} has no visible sheet of cells. Expected a table in its first sheet.")
        # With the empty rows above the table, so that rows have the numbers that a user sees.
        cells = book.get_sheet_by_name(sheets[0]).to_python(skip_empty_area=False)
    except (calamine.CalamineError, *ZIP_DAMAGE) as error:
        raise UserError(
            f"{name} cannot be read as a sheet ({len(content):,} bytes; {error}). Save it again, without a password, "
            "and run again."
        ) from error
    told = f"sheet {sheets[0]!r}" + (f", not the sheets {', '.join(map(repr, sheets[1:]))}" if sheets[1:] else "")
    texts = ((number, [_cell_text(cell) for cell in row]) for number, row in enumerate(cells, 1))
    rows = [(number, row) for number, row in texts if any(row)]
    if not rows:
        raise UserError(f"{name} is empty ({told}). Expected a first row with the names of the columns.")
    columns = [cell.strip() if header else str(place) for place, cell in enumerate(rows[0][1], 1)]
    # Reversed, so that the first of two columns of one name counts, as in text files.
    values = [(number, dict(zip(reversed(columns), reversed(row), strict=True))) for number, row in rows[header:]]
    return ListedTable(name, columns, values, told=told, named=False)


def _cell_text(cell: object) -> str:
    if isinstance(cell, float) and cell.is_integer():
        return f"{cell:.0f}"
    if isinstance(cell, datetime.datetime) and cell.time() == datetime.time():
        return cell.date().isoformat()
    return cell.isoformat(" ") if isinstance(cell, datetime.datetime) else str(cell)
