"""Sheets of Excel and OpenDocument files, read by calamine, as rows of text."""

from __future__ import annotations

import datetime
import io
import zipfile

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.zips import ZIP_DAMAGE, check_unpacked


def read_sheet(content: bytes, name: str) -> tuple[list[list[str]], str]:
    """The cells of the first visible sheet as text, and what was read, for messages.

    Whole numbers have no decimal point and dates are ISO 8601. An empty cell is "".

    Args:
      content: of the file.
      name: of the file, for messages.

    Raises:
      UserError: it is damaged, encrypted, unpacks to too much, or has no sheet of cells.
    """
    # imported where it is needed: few tables are sheets
    import python_calamine as calamine

    try:
        if zipfile.is_zipfile(io.BytesIO(content)):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                check_unpacked(name, len(content), sum(entry.file_size for entry in archive.infolist()))
        book = calamine.load_workbook(io.BytesIO(content))
        sheets = [
            sheet.name
            for sheet in book.sheets_metadata
            if (sheet.typ, sheet.visible) == (calamine.SheetTypeEnum.WorkSheet, calamine.SheetVisibleEnum.Visible)
        ]
        if not sheets:
            raise UserError(f"{name} has no visible sheet of cells. Expected a table in its first sheet.")
        # With the empty rows above the table, so that rows have the numbers that a user sees.
        cells = book.get_sheet_by_name(sheets[0]).to_python(skip_empty_area=False)
    except (calamine.CalamineError, *ZIP_DAMAGE) as error:
        raise UserError(
            f"{name} cannot be read as a sheet ({len(content):,} bytes; {error}). Save it again, without a password, "
            "and run again."
        ) from error
    others = f", not the sheets {', '.join(map(repr, sheets[1:]))}" if sheets[1:] else ""
    return [[_text(cell) for cell in row] for row in cells], f"sheet {sheets[0]!r}{others}"


def _text(cell: object) -> str:
    if isinstance(cell, float) and cell.is_integer():
        return f"{cell:.0f}"
    if isinstance(cell, datetime.datetime) and cell.time() == datetime.time():
        return cell.date().isoformat()
    return cell.isoformat(" ") if isinstance(cell, datetime.datetime) else str(cell)
