"""Rows of tables with values of known types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.tables.chunk import WHOLE, Table
from uwe_jax.sources.tables.chunks import column_names, open_table, tell
from uwe_jax.sources.tables.delimited import find_dialect
from uwe_jax.sources.tables.formats import FORMATS, table_format
from uwe_jax.sources.tables.lines import TextFile
from uwe_jax.sources.tables.names import HEADER, check_once, named_columns, same_names
from uwe_jax.sources.tables.problems import Problems, shorten
from uwe_jax.sources.tables.text_tables import DelimitedTable
from uwe_jax.sources.tables.values import TYPES, convert, half_pair

__all__ = ["FORMATS", "Row", "has_columns", "read_rows", "read_table", "table_format"]

Row = dict[str, Any]


def has_columns(path: Path, columns: Mapping[str, str]) -> bool:
    """Whether a file is a table with these columns. Anything else, readable or not, is none."""
    try:
        names = column_names(path) if table_format(path) else []
    except (OSError, UserError):
        return False
    return all(same_names(names, column) for column in columns)


def read_rows(
    path: Path,
    name: str,
    columns: Mapping[str, str],
    problems: Problems,
    *,
    optional: Mapping[str, str] | None = None,
    roles: Mapping[str, str] | None = None,
) -> Iterator[tuple[str, Row]]:
    """The rows of a table.

    Args:
      path: a file in one of `FORMATS`.
      name: of the file, for messages.
      columns: those to read, with their type of `TYPES`; others are skipped.
      problems: takes one entry per row that does not fit.
      optional: further columns, with their type; "" where the file has none.
      roles: what columns hold that may have other names too, a key of `NAMES`.

    Yields:
      The place of a row, for messages, and its values by column.

    Raises:
      UserError: a missing column, or no such table at all.
    """
    table = open_table(path, name)
    count = 0
    for row in _typed(table, name, columns, problems, optional or {}, roles or {}):
        yield row
        count += 1
    tell(path, table, count)


def read_table(
    data: bytes,
    name: str,
    *,
    delimiter: str,
    required: Sequence[str],
    optional: Sequence[str] = (),
    problems: Problems,
) -> list[tuple[int, list[str]]]:
    """Rows of the content of a delimited file.

    Args:
      data: the whole file.
      name: of the file, for messages.
      delimiter: where the content does not tell it.
      required: columns that must be there.
      optional: columns that may be there.
      problems: takes one entry per row that does not fit.

    Returns:
      Per row its line and the values of `required` then `optional` columns, "" where an optional one is missing.

    Raises:
      UserError: the file is empty, or a required column is missing or there twice.
    """
    file = TextFile(name, data=data)
    table = DelimitedTable(file, find_dialect(file, delimiter))
    kinds = [dict.fromkeys(each, "text") for each in (required, optional)]
    rows = _typed(table, name, kinds[0], problems, kinds[1], {})
    return [(int(place.rpartition(" ")[2]), list(row.values())) for place, row in rows]


def _typed(
    table: Table,
    name: str,
    columns: Mapping[str, str],
    problems: Problems,
    optional: Mapping[str, str],
    roles: Mapping[str, str],
) -> Iterator[tuple[str, Row]]:
    types = {**columns, **optional}
    found = {column: _find(table, name, column, roles.get(column, "")) for column in types}
    missing = [column for column in columns if not found[column]]
    if missing and not table.any_keys:
        raise UserError(
            f"{name} has no column {' and no column '.join(map(repr, missing))}; expected the columns "
            f"{', '.join(columns)}. Its columns: {', '.join(map(shorten, table.columns)) or 'none'}. {HEADER}"
        )
    found = {column: there or column for column, there in found.items()}
    for place, raw in table.rows(WHOLE, list(found.values()), problems):
        if absent := [column for column in columns if found[column] not in raw]:
            keys = f"(keys: {', '.join(raw) or 'none'})"
            expected = f"a JSON object with the keys {', '.join(columns)}"
            problems.add(place, f"no {' and no '.join(absent)} {keys}", expected)
            continue
        row: Row = {}
        for column, kind in types.items():
            value = raw.get(found[column])
            converted = None if half_pair(value) else convert(value, kind)
            if converted is None:
                half = half_pair(value)
                found_here = f"half a surrogate pair in {column}" if half else f"{column} {shorten(str(value))}"
                problems.add(place, found_here, "valid Unicode" if half else TYPES[kind])
                break
            row[column] = converted
        else:
            yield place, row


def _find(table: Table, name: str, column: str, role: str) -> str:
    """How the table calls a column, "" where it has none; UserError where it has it twice."""
    check_once(table.columns, column, name)
    same = same_names(table.columns, column)
    return same[0] if same else named_columns(table.columns, [role] if role else []).get(role, "")
