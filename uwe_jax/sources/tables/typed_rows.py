"""Tables with a header as rows of typed columns: CSV, TSV, JSON lines, each also gzipped, and Parquet, all UTF-8."""

from __future__ import annotations

import csv
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.zips import read_gzip
from uwe_jax.sources.tables.delimited import decode_lines, read_table
from uwe_jax.sources.tables.lists import python_literal
from uwe_jax.sources.tables.parquet_chunks import damage_named, open_parquet, read_batches
from uwe_jax.sources.tables.problems import Problems, shorten

DELIMITERS = {".csv": ",", ".tsv": "\t"}
_GZIP = ".gz"
_TEXTS = (*DELIMITERS, ".jsonl")
FORMATS = (*_TEXTS, ".parquet", *(f"{suffix}{_GZIP}" for suffix in _TEXTS))

# Types of a column, and how a message calls a value of them. An id is text that JSON may write as a number.
TYPES = {
    "text": "a text",
    "texts": """a list of texts such as ['plan shifts', "manage a chef's team"]""",
    "int": "an integer",
    "id": "a text or an integer",
}

_BATCH = 4096  # rows of Parquet that are decoded at once
_HEADER = 65_536  # bytes; a longer first line is no header
_LEVELS = 50  # of lists and objects in a row of JSON; Python itself fails at a thousand
_SURROGATE = re.compile("[\ud800-\udfff]")

Row = dict[str, Any]
# The place of a row, for messages, and what stands in its columns.
_Raw = Iterator[tuple[str, Sequence[object]]]


def table_format(path: Path) -> str:
    """The ending of `FORMATS` that a file's name has; "" where it has none.

    >>> table_format(Path("a/edges.JSONL.gz")), table_format(Path("edges.v2.csv")), table_format(Path("edges.gz"))
    ('.jsonl.gz', '.csv', '')
    """
    ending = "".join(path.suffixes[-2:]).lower()
    return next((each for each in (ending, path.suffix.lower()) if each in FORMATS), "")


def has_columns(path: Path, columns: Mapping[str, str]) -> bool:
    """Whether a file is a table with these columns. Anything else, readable or not, is none."""
    names = _column_names(path)
    if _unzipped(path) in DELIMITERS:
        return {column.casefold() for column in columns} <= {name.strip().casefold() for name in names}
    return set(columns) <= set(names)


def read_rows(
    path: Path,
    name: str,
    columns: Mapping[str, str],
    problems: Problems,
    *,
    optional: Mapping[str, str] | None = None,
) -> Iterator[tuple[str, Row]]:
    """The rows of a table.

    Args:
      path: a file in one of `FORMATS`, or JSON as one array of rows.
      name: of the file, for messages.
      columns: those to read, with their type of `TYPES`; others are skipped.
      problems: takes one entry per row that does not fit.
      optional: further columns, with their type; "" where the file has none.

    Yields:
      The place of a row, for messages, and its values by column.

    Raises:
      UserError: a missing column, or no such table at all.
    """
    types = {**columns, **(optional or {})}
    for place, values in _raw_rows(path, name, tuple(columns), tuple(optional or ()), problems):
        row: Row = {}
        for (column, kind), value in zip(types.items(), values, strict=True):
            converted = _convert(value, kind)
            if converted is None:
                problems.add(place, f"{column} {shorten(str(value))}", TYPES[kind])
                break
            row[column] = converted
        else:
            yield place, row


def half_pair(value: object) -> bool:
    """Whether a text, or one in a list, holds half a surrogate pair: JSON can write it, no file can be written of it.

    >>> half_pair("\\ud83d"), half_pair("\U0001f600"), half_pair(["a", "\\ude00"])
    (True, False, True)
    """
    if isinstance(value, str):
        return not value.isascii() and _SURROGATE.search(value) is not None
    return isinstance(value, list) and any(map(half_pair, value))


def parse_json(text: str | bytes) -> Any:
    """The value of a row or file in JSON.

    Raises:
      ValueError: it is no JSON, or is nested deeper than any row is.
    """
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError(f"nested more than {_LEVELS} levels deep") from error
    level = [value]
    for _ in range(_LEVELS):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return value
    raise ValueError(f"nested more than {_LEVELS} levels deep")


def _unzipped(path: Path) -> str:
    """The ending of a table's name without that of gzip; of any other file its own."""
    return (table_format(path) or path.suffix.lower()).removesuffix(_GZIP)


def _content(path: Path, name: str) -> bytes:
    return read_gzip(path, name) if path.suffix.lower() == _GZIP else path.read_bytes()


def _first_line(path: Path) -> bytes:
    with path.open("rb") as file:
        if path.suffix.lower() != _GZIP:
            return file.readline(_HEADER)
        # Not by the gzip module, which gives nothing of a file that is cut off: reading it is to say so.
        start = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(file.read(_HEADER), _HEADER)
    return start.split(b"\n", 1)[0]


def _column_names(path: Path) -> list[str]:
    suffix = _unzipped(path)
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
        line = _first_line(path).decode("utf-8-sig")
        if suffix == ".jsonl":
            row = parse_json(line)
            return list(row) if isinstance(row, dict) else []
        return next(csv.reader([line], delimiter=DELIMITERS[suffix]), [])
    except (OSError, ValueError, csv.Error, zlib.error):
        return []


def _raw_rows(path: Path, name: str, required: tuple[str, ...], optional: tuple[str, ...], problems: Problems) -> _Raw:
    suffix = _unzipped(path)
    if suffix == ".parquet":
        return _parquet_rows(path, name, required, optional)
    if suffix in DELIMITERS:
        rows = read_table(
            _content(path, name),
            name,
            delimiter=DELIMITERS[suffix],
            required=required,
            optional=optional,
            problems=problems,
        )
        return ((f"{name}, line {line}", values) for line, values in rows)
    return _json_rows(path, name, required, optional, problems)


def _json_rows(path: Path, name: str, required: tuple[str, ...], optional: tuple[str, ...], problems: Problems) -> _Raw:
    expected = f"a JSON object with the keys {', '.join(required)}"
    text = decode_lines(_content(path, name), name, problems)
    array = path.suffix.lower() == ".json" and text.lstrip().startswith("[")
    for place, row in _json_array(path, name, text) if array else _json_lines(name, text, expected, problems):
        if not isinstance(row, dict):
            problems.add(place, shorten(json.dumps(row)), expected)
        elif missing := [column for column in required if column not in row]:
            problems.add(place, f"no {' and no '.join(missing)} (keys: {', '.join(row) or 'none'})", expected)
        elif half_pair(values := [row.get(column) for column in (*required, *optional)]):
            problems.add(place, f"half a surrogate pair in {shorten(json.dumps(row))}", "valid Unicode")
        else:
            yield place, values


def _json_lines(name: str, text: str, expected: str, problems: Problems) -> Iterator[tuple[str, object]]:
    # Split at line feeds alone: splitlines would cut at separators that JSON allows inside a string.
    for line, each in enumerate(text.split("\n"), 1):
        if not each.strip():
            continue
        try:
            row = parse_json(each)
        except ValueError as error:
            problems.add(f"{name}, line {line}", f"invalid JSON ({error})", expected)
        else:
            yield f"{name}, line {line}", row


def _json_array(path: Path, name: str, text: str) -> Iterator[tuple[str, object]]:
    try:
        rows = parse_json(text)
    except ValueError as error:
        raise UserError(f"{name} is no JSON ({error}). Remove {path} and run again.") from error
    assert isinstance(rows, list)  # it begins with a bracket
    for number, row in enumerate(rows, 1):
        yield f"{name}, row {number}", row


def _parquet_rows(path: Path, name: str, required: tuple[str, ...], optional: tuple[str, ...]) -> _Raw:
    with open_parquet(path, name) as file:
        names = file.schema_arrow.names
    if missing := [column for column in required if column not in names]:
        raise UserError(
            f"{name} has no column {' and no column '.join(map(repr, missing))}; expected the columns "
            f"{', '.join(required)}. Its columns: {', '.join(names) or 'none'}. Rename the column and write the "
            "file again."
        )
    number, columns = 0, (*required, *optional)
    for batch in read_batches(path, name, [column for column in columns if column in names], _BATCH):
        with damage_named(path, name):
            rows = batch.to_pylist()
        for number, row in enumerate(rows, number + 1):  # noqa: B020
            yield f"{name}, row {number}", [row.get(column) for column in columns]


def _convert(value: object, kind: str) -> object:
    """The value in its type; None where it has another."""
    if kind == "int":
        return _as_int(value)
    if value is None:
        return [] if kind == "texts" else ""
    if kind == "texts":
        texts = _parse_texts(value) if isinstance(value, str) else value
        return texts if isinstance(texts, list) and all(isinstance(text, str) for text in texts) else None
    if kind == "id" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None


def _as_int(value: object) -> int | None:
    """Whole numbers, also as text, as a float without a fraction, and as truth values."""
    try:
        number = float(value) if isinstance(value, (str, int, float)) else None
    except (ValueError, OverflowError):
        number = {"true": 1.0, "false": 0.0}.get(value.strip().casefold()) if isinstance(value, str) else None
    return int(number) if number is not None and number.is_integer() else None


def _parse_texts(cell: str) -> object:
    """What a cell of a table holds that was written as Python or JSON write lists; None where it is no such thing.

    >>> _parse_texts("['C#', \\"manage a chef's team\\"]")
    ['C#', "manage a chef's team"]
    >>> _parse_texts("weld metal") is None
    True
    """
    value = python_literal(cell.strip())
    return None if half_pair(value) else value
