"""Rows of tables with values of known types."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.tables.chunk import WHOLE, Table
from uwe_jax.sources.tables.chunks import column_names, open_table, tell
from uwe_jax.sources.tables.delimited import find_dialect
from uwe_jax.sources.tables.formats import table_format
from uwe_jax.sources.tables.lines import TextFile
from uwe_jax.sources.tables.names import HEADER, check_once, named_columns, same_names
from uwe_jax.sources.tables.problems import Problems, shorten
from uwe_jax.sources.tables.text_tables import DelimitedTable
from uwe_jax.sources.tables.values import TYPES, convert, half_pair, no_row

Row = dict[str, Any]


def has_columns(path: Path, columns: Mapping[str, str]) -> bool:
    """Returns whether a file is a readable table with these columns."""
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
    level: int = logging.INFO,
) -> Iterator[tuple[str, Row]]:
    """Reads the rows of a table.

    Args:
      path: a file in one of `FORMATS`.
      name: of the file, for messages.
      columns: to read, with their type of `TYPES`; others are skipped.
      problems: takes one entry per broken row.
      optional: further columns, with their type; "" if the file has none.
      roles: keys of `NAMES` for columns that may have other names too.

    Yields:
      The place of a row, for messages, and its values by column.

    Raises:
      UserError: the file is not a table, or a column is missing.
    """
    table = open_table(path, name)
    count = 0
    for row in _typed(table, columns, problems, optional or {}, roles or {}):
        yield row
        count += 1
    tell(path, table, count, level=level)


def read_table(
    data: bytes,
    name: str,
    *,
    delimiter: str,
    required: Sequence[str],
    optional: Sequence[str] = (),
    problems: Problems,
) -> list[tuple[int, list[str]]]:
    """Reads columns of texts from the content of a delimited file, as `read_rows` does.

    Args:
      delimiter: the default where the content does not tell.

    Returns:
      Per row its line and the values of `required`, then `optional` columns.
    """
    file = TextFile(name, data=data)
    table = DelimitedTable(file, find_dialect(file, delimiter))
    rows = _typed(table, dict.fromkeys(required, "text"), problems, dict.fromkeys(optional, "text"), {})
    return [(int(place.rpartition(" ")[2]), list(row.values())) for place, row in rows]


def _typed(
    table: Table,
    columns: Mapping[str, str],
    problems: Problems,
    optional: Mapping[str, str],
    roles: Mapping[str, str],
) -> Iterator[tuple[str, Row]]:
    types = {**columns, **optional}
    found = {column: _find(table, column, roles.get(column, "")) for column in types}
    missing = [column for column in columns if not found[column]]
    if missing and not table.any_keys:
        raise UserError(
            f"{table.name} has no column {' and no column '.join(map(repr, missing))}; expected the columns "
            f"{', '.join(columns)}. Its columns: {', '.join(map(shorten, table.columns)) or 'none'}. {HEADER}"
        )
    found = {column: there or column for column, there in found.items()}
    for place, raw in table.rows(WHOLE, list(found.values()), problems):
        if absent := [column for column in columns if found[column] not in raw]:
            keys = f"(keys: {', '.join(raw) or 'none'})"
            problems.add(place, f"no {' and no '.join(absent)} {keys}", no_row("", list(columns))[1])
            continue
        row: Row = {}
        for column, kind in types.items():
            value = raw.get(found[column])
            if half_pair(value):
                problems.add(place, f"half a surrogate pair in {column}", "valid Unicode")
                break
            row[column] = convert(value, kind)
            if row[column] is None:
                problems.add(place, f"{column} {shorten(str(value))}", TYPES[kind])
                break
        else:
            yield place, row


def _find(table: Table, column: str, role: str) -> str:
    """Returns the table's name of a column, "" if it has none; UserError if there are several."""
    check_once(table.columns, column, table.name)
    same = same_names(table.columns, column)
    return same[0] if same else named_columns(table.columns, [role] if role else []).get(role, "")
