"""Reads tables of every format as streams of rows: whole, with typed values, or in chunks that are read independently.

CSV, TSV and JSON lines are cut into byte ranges between rows, Parquet into row groups or parts of them, JSON lists and
sheets into chunks of rows.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.tables.chunk import NONE, WHOLE, Chunk, Rows, Table
from uwe_jax.sources.tables.delimited import ONE_TEXT_PER_LINE, find_dialect
from uwe_jax.sources.tables.formats import EXPECTED_FORMATS, GZIP, SEPARATED, SHEETS, is_text_list, table_format
from uwe_jax.sources.tables.lines import TextFile
from uwe_jax.sources.tables.listed import json_table, sheet_table
from uwe_jax.sources.tables.names import same_names
from uwe_jax.sources.tables.parquet_table import ParquetTable
from uwe_jax.sources.tables.problems import BrokenRows, Problems
from uwe_jax.sources.tables.text_tables import DelimitedTable, JsonLines
from uwe_jax.sources.tables.values import ANY

_log = logging.getLogger(__name__)


def open_table(path: Path, name: str = "", quoted: bool | None = None, columns: Sequence[str] = ()) -> Table:
    """Opens a table and reads the names of its columns.

    Args:
      name: for messages; by default its path.
      quoted: see `find_dialect`.
      columns: that will be read. A number that does not name a column says that the first row is data.

    Raises:
      UserError: it cannot be read, or has none of `FORMATS`.
    """
    table = _open(path, name or str(path), quoted, header=True)
    numbers = [column for column in columns if column.isdigit() and not same_names(table.columns, column)]
    return _open(path, table.name, quoted, header=False) if numbers and not table.named else table


def _open(path: Path, name: str, quoted: bool | None, *, header: bool) -> Table:
    suffix = table_format(path).removesuffix(GZIP)
    file = TextFile(name, path)
    if suffix in SEPARATED:
        return DelimitedTable(file, find_dialect(file, SEPARATED[suffix], quoted, header=header))
    if is_text_list(path):
        return DelimitedTable(file, ONE_TEXT_PER_LINE)
    if suffix == ".parquet":
        return ParquetTable(path, name)
    if suffix in SHEETS:
        return sheet_table(path, name, header)
    if suffix not in (".json", ".jsonl"):
        raise UserError(f"{path} is in no format that is read here. Expected a file ending in {EXPECTED_FORMATS}.")
    first = next((line.text for line in file.head() if line.text.strip()), "")
    return json_table(file) if suffix == ".json" and first.lstrip().startswith("[") else JsonLines(file)


def column_names(path: Path, columns: Sequence[str] = ()) -> list[str]:
    """Returns the columns of a table; see `open_table`."""
    return open_table(path, quoted=True, columns=columns).columns


def has_columns(path: Path, columns: Iterable[str]) -> bool:
    """Returns whether a file is a readable table with these columns."""
    try:
        names = column_names(path) if table_format(path) else []
    except (OSError, UserError):
        return False
    return all(same_names(names, column) for column in columns)


def table_rows(path: Path, columns: Sequence[str], broken: BrokenRows, name: str = "") -> Rows:
    """Yields the rows of a whole table; see `read_chunk`."""
    table = open_table(path, name or path.name, columns=columns)
    return _counted(path, table, table.typed(WHOLE, NONE, broken, dict.fromkeys(columns, ANY)))


def read_rows(
    path: Path,
    name: str,
    columns: Mapping[str, str],
    problems: Problems,
    *,
    optional: Mapping[str, str] = NONE,
    roles: Mapping[str, str] = NONE,
    level: int = logging.INFO,
) -> Rows:
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
    return _counted(path, table, table.typed(WHOLE, columns, problems, optional, roles), level)


def _counted(path: Path, table: Table, rows: Rows, level: int = logging.INFO) -> Rows:
    count = 0
    for row in rows:
        yield row
        count += 1
    tell(path, table, count, level)


def tell(path: Path, table: Table, rows: int, level: int = logging.INFO) -> None:
    """Logs what was read, in one line."""
    names = ", ".join(map(repr, table.columns))
    _log.log(level, "Read %s: %s, columns %s, %s rows", path, table.told, names or "none", f"{rows:,}")


def cut(path: Path, name: str, rows: int, columns: Sequence[str] = ()) -> list[Chunk]:
    """Cuts a file into chunks of about so many rows, reading it once as a stream.

    Args:
      columns: that will be read.

    Raises:
      UserError: it cannot be read, or row boundaries are ambiguous from some line on.
    """
    size, mtime_ns = stamp(path)
    table = open_table(path, name, columns=columns)
    chunks = table.cut(rows)
    tell(path, table, sum(each.rows for each in chunks))
    return [
        replace(each, path=str(path), name=name, size=size, mtime_ns=mtime_ns, quoted=table.quoted) for each in chunks
    ]


def stamp(path: Path) -> tuple[int, int]:
    """Returns size and modification time of a file, by which a chunk notices changes."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def read_chunk(chunk: Chunk, columns: Sequence[str], broken: BrokenRows) -> Rows:
    """Reads the rows of a chunk.

    Args:
      columns: wanted, as `column_names` returns them.
      broken: takes one entry per row that cannot be read.

    Yields:
      The place of a row, for messages, and its values as the file has them: text in CSV and sheets, any value of JSON
      or Parquet, None where a row lacks a column.

    Raises:
      UserError: the file has changed since it was cut, or is damaged.
    """
    path = Path(chunk.path)
    if chunk.size >= 0 and stamp(path) != (chunk.size, chunk.mtime_ns):
        raise UserError(
            f"{path} has changed since it was cut into chunks ({chunk.size:,} bytes then, {path.stat().st_size:,} "
            "now), so the positions of its rows are unknown. Run again while nothing writes to it."
        )
    table = open_table(path, chunk.name, chunk.quoted, columns)
    return table.typed(chunk, NONE, broken, dict.fromkeys(columns, ANY), exact=True)


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
    rows = table.typed(WHOLE, dict.fromkeys(required, "text"), problems, dict.fromkeys(optional, "text"))
    return [(int(place.rpartition(" ")[2]), list(row.values())) for place, row in rows]
