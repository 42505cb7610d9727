"""CSV and TSV with a header, read by column name. Every row that does not fit is reported with its line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager

from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.tables.problems import Problems, shorten

# The csv module stops at 131,072 characters per field; a description column, which is skipped, may be longer.
_FIELD_LIMIT = 10_000_000


def decode_lines(data: bytes, name: str, problems: Problems) -> str:
    """The text of a UTF-8 file, with or without a byte order mark; empty if a line is not UTF-8.

    Args:
      data: the whole file.
      name: of the file, for messages.
      problems: takes one entry per line that is not UTF-8.

    Raises:
      UserError: the file is UTF-16, as spreadsheets save "Unicode text".
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UserError(f"{name} is UTF-16 text. Expected UTF-8: save it again as UTF-8 and run again.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        # A line feed never occurs inside a UTF-8 character, so lines can be judged one by one.
        for number, line in enumerate(data.split(b"\n"), 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                found = f"byte 0x{line[error.start]:02x} at position {error.start + 1}"
                problems.add(f"{name}, line {number}", found, "UTF-8 text")
        return ""


def read_table(
    data: bytes,
    name: str,
    *,
    delimiter: str,
    required: tuple[str, ...],
    optional: tuple[str, ...] = (),
    problems: Problems,
) -> list[tuple[int, list[str]]]:
    """Rows of a delimited file, without the header and blank lines.

    Quoting is that of the csv module's default dialect; a quoted field may span lines. Column names are
    compared without regard to case and surrounding space; other columns are skipped.

    Args:
      data: the whole file.
      name: of the file, for messages.
      delimiter: one character.
      required: columns that must be there.
      optional: columns that may be there.
      problems: takes one entry per row that does not fit.

    Returns:
      Per row its first line's number, counted from 1, and the values of `required` then `optional` columns,
      "" where an optional column is missing. A row in `problems` is left out.

    Raises:
      UserError: the file is empty, or a required column is missing or there twice.
    """
    before = problems.count
    text = decode_lines(data, name, problems)
    if problems.count > before:
        return []
    with _long_fields():
        records = _records(text, name, delimiter, problems)
        header = next(records, None)
        if header is None:
            if problems.count > before:
                return []
            raise UserError(f"{name} is empty. Expected a header with the columns {', '.join(required)}.")
        columns = _columns(header[1], name, required, optional)
        rows = []
        for line, fields in records:
            if len(fields) != len(header[1]):
                found = f"{len(fields)} fields, the first {shorten(fields[0])}"
                problems.add(f"{name}, line {line}", found, f"{len(header[1])} as in the header")
            else:
                rows.append((line, ["" if place is None else fields[place] for place in columns]))
    return rows


@contextmanager
def _long_fields() -> Iterator[None]:
    before = csv.field_size_limit(_FIELD_LIMIT)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _records(text: str, name: str, delimiter: str, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    # strict: without it an unclosed quote silently swallows the rest of the file as one field
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # Where the next row starts is unknown from here on, so the rest of the file is not judged.
            expected = 'quotes around a field and doubled ("") inside it; the rest of the file was not read'
            problems.add(f"{name}, line {line}", f"a row that cannot be parsed ({error})", expected)
            return
        if fields:
            yield line, fields


def _columns(header: list[str], name: str, required: tuple[str, ...], optional: tuple[str, ...]) -> list[int | None]:
    names = [column.strip().casefold() for column in header]
    there = ", ".join(map(shorten, header))
    places: list[int | None] = []
    for column in (*required, *optional):
        count = names.count(column.casefold())
        if count > 1:
            raise UserError(f"{name} has {count} columns named {column!r}; expected one. Its columns: {there}.")
        if count == 0 and column in required:
            other = next((mark for mark in "\t;,|" if len(header) == 1 and mark in header[0]), None)
            hint = f" The header looks separated by {other!r}; save the file with another separator." if other else ""
            raise UserError(
                f"{name} has no column {column!r}; expected the columns {', '.join(required)}. Its columns: "
                f"{there}.{hint or ' Rename the column in the first line and run again.'}"
            )
        places.append(names.index(column.casefold()) if count else None)
    return places
