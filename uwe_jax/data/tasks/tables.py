"""Tables with a header as rows of typed columns: CSV, TSV, JSON lines and Parquet, all UTF-8."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from uwe_jax.base.errors import UserError
from uwe_jax.data.delimited import decode_lines, read_table
from uwe_jax.data.problems import Problems, shorten
from uwe_jax.data.tasks.text_lists import parse_texts

DELIMITERS = {".csv": ",", ".tsv": "\t"}
FORMATS = (*DELIMITERS, ".jsonl", ".parquet")

# Types of a column, and how a message calls a value of them. An id is text that JSON may write as a number.
TYPES = {"text": "a text", "texts": "a list of texts", "int": "an integer", "id": "a text or an integer"}

_HEADER = 65_536  # bytes; a longer first line is no header

Row = dict[str, Any]


def has_columns(path: Path, columns: Mapping[str, str]) -> bool:
    """Whether a file is a table with these columns. Anything else, readable or not, is none."""
    names = _column_names(path)
    if path.suffix.lower() in DELIMITERS:
        return {column.casefold() for column in columns} <= {name.strip().casefold() for name in names}
    return set(columns) <= set(names)


def read_rows(path: Path, name: str, columns: Mapping[str, str], problems: Problems) -> Iterator[tuple[str, Row]]:
    """The rows of a table.

    Args:
      path: a file in one of `FORMATS`.
      name: of the file, for messages.
      columns: those to read, with their type of `TYPES`; others are skipped.
      problems: takes one entry per row that does not fit.

    Yields:
      The place of a row, for messages, and its values by column.

    Raises:
      UserError: a missing column, or no such table at all.
    """
    suffix = path.suffix.lower()
    if suffix in DELIMITERS:
        raw = _delimited_rows(path, name, tuple(columns), problems)
    elif suffix == ".jsonl":
        raw = _json_rows(path, name, tuple(columns), problems)
    else:
        raw = _parquet_rows(path, name, tuple(columns))
    for place, values in raw:
        row: Row = {}
        for (column, kind), value in zip(columns.items(), values, strict=True):
            converted = _convert(value, kind)
            if converted is None:
                problems.add(place, f"{column} {shorten(str(value))}", TYPES[kind])
                break
            row[column] = converted
        else:
            yield place, row


def _column_names(path: Path) -> list[str]:
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            # imported where it is needed: few folders hold Parquet, and the import takes a quarter of a second
            import pyarrow as pa
            import pyarrow.parquet as pq

            try:
                return list(pq.read_schema(path).names)
            except pa.ArrowException:
                return []
        if suffix not in FORMATS:
            return []
        with path.open("rb") as file:
            line = file.readline(_HEADER).decode("utf-8-sig")
        if suffix == ".jsonl":
            row = json.loads(line)
            return list(row) if isinstance(row, dict) else []
        return next(csv.reader([line], delimiter=DELIMITERS[suffix]), [])
    except (OSError, ValueError, csv.Error, RecursionError):
        return []


def _delimited_rows(
    path: Path, name: str, columns: tuple[str, ...], problems: Problems
) -> Iterator[tuple[str, Sequence[object]]]:
    delimiter = DELIMITERS[path.suffix.lower()]
    for line, values in read_table(path.read_bytes(), name, delimiter=delimiter, required=columns, problems=problems):
        yield f"{name}, line {line}", values


def _json_rows(
    path: Path, name: str, columns: tuple[str, ...], problems: Problems
) -> Iterator[tuple[str, Sequence[object]]]:
    expected = f"a JSON object with the keys {', '.join(columns)}"
    # Split at line feeds alone: splitlines would cut at separators that JSON allows inside a string.
    for line, text in enumerate(decode_lines(path.read_bytes(), name, problems).split("\n"), 1):
        if not text.strip():
            continue
        place = f"{name}, line {line}"
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            problems.add(place, f"invalid JSON ({error})", expected)
            continue
        if not isinstance(row, dict):
            problems.add(place, shorten(text), expected)
            continue
        if missing := [column for column in columns if column not in row]:
            problems.add(place, f"no {' and no '.join(missing)} in {shorten(text)}", expected)
            continue
        yield place, [row[column] for column in columns]


def _parquet_rows(path: Path, name: str, columns: tuple[str, ...]) -> Iterator[tuple[str, Sequence[object]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        missing = [column for column in columns if column not in file.schema_arrow.names]
        if missing:
            raise UserError(
                f"{name} has no column {' and no column '.join(map(repr, missing))}; expected the columns "
                f"{', '.join(columns)}. Its columns: {', '.join(file.schema_arrow.names) or 'none'}."
            )
        table = file.read(columns=list(columns)).to_pydict()
    except (pa.ArrowException, OSError) as error:
        raise UserError(
            f"{name} cannot be read as Parquet ({path.stat().st_size} bytes; {error}). Write it again and run again."
        ) from error
    for number, values in enumerate(zip(*(table[column] for column in columns), strict=True), 1):
        yield f"{name}, row {number}", list(values)


def _convert(value: object, kind: str) -> object:
    """The value in its type; None where it has another."""
    if kind == "int":
        return _as_int(value)
    if value is None:
        return [] if kind == "texts" else ""
    if kind == "texts":
        texts = parse_texts(value) if isinstance(value, str) else value
        return texts if isinstance(texts, list) and all(isinstance(text, str) for text in texts) else None
    if kind == "id" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None


def _as_int(value: object) -> int | None:
    """Whole numbers, also as text, as a float without a fraction, and as truth values."""
    try:
        number = float(value) if isinstance(value, (str, int, float)) else None
    except ValueError:
        number = {"true": 1.0, "false": 0.0}.get(value.strip().casefold()) if isinstance(value, str) else None
    return int(number) if number is not None and number.is_integer() else None
