"""Reads tables of every format as streams of rows: whole, or in chunks that are read independently.

CSV, TSV and JSON lines are cut into byte ranges between rows, Parquet into row groups or parts of them, JSON lists and
sheets into chunks of rows.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.tables.chunk import WHOLE, Chunk, Rows, Table
from uwe_jax.sources.tables.delimited import ONE_TEXT_PER_LINE, find_dialect
from uwe_jax.sources.tables.formats import EXPECTED_FORMATS, GZIP, SEPARATED, SHEETS, is_text_list, table_format
from uwe_jax.sources.tables.lines import TextFile
from uwe_jax.sources.tables.listed import json_table, sheet_table
from uwe_jax.sources.tables.names import check_once, same_names
from uwe_jax.sources.tables.parquet_table import ParquetTable
from uwe_jax.sources.tables.problems import BrokenRows
from uwe_jax.sources.tables.text_tables import DelimitedTable, JsonLines
from uwe_jax.sources.tables.values import half_pair

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


def table_rows(path: Path, columns: Sequence[str], broken: BrokenRows, name: str = "") -> Rows:
    """Yields the rows of a whole table; see `read_chunk`."""
    table = open_table(path, name or path.name, columns=columns)
    count = 0
    for place, row in _valid(table, WHOLE, columns, broken):
        yield place, row
        count += 1
    tell(path, table, count, columns)


def tell(path: Path, table: Table, rows: int, columns: Sequence[str] = (), level: int = logging.INFO) -> None:
    """Logs what was read, in one line."""
    names = ", ".join(repr(name) for name in table.columns if name in columns or not columns)
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
    return _valid(open_table(path, chunk.name, chunk.quoted, columns), chunk, columns, broken)


def _valid(table: Table, where: Chunk, columns: Sequence[str], broken: BrokenRows) -> Rows:
    for column in columns:
        check_once(table.columns, column, table.name)
    for place, row in table.rows(where, columns, broken):
        values = {column: row.get(column) for column in columns}
        if any(map(half_pair, values.values())):
            broken.add(place, "half a surrogate pair", "valid Unicode")
        else:
            yield place, values
