"""The file formats of edges: each reader yields the place of a row and its values, and checks what its format
can break. What every edge must satisfy is checked by the caller."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from uwe_jax.base.errors import UserError
from uwe_jax.data.delimited import decode_lines, read_table
from uwe_jax.data.problems import Problems, shorten

REQUIRED = ("left", "right")
OPTIONAL = ("relation", "left_id", "right_id")
COLUMNS = "left,right[,relation][,left_id,right_id]"

# (file, its name in messages, problems) -> (place, [left, right, relation, left_id, right_id]) per row
Reader = Callable[[Path, str, Problems], Iterator[tuple[str, list[str]]]]


def _read_delimited(path: Path, name: str, problems: Problems, delimiter: str) -> Iterator[tuple[str, list[str]]]:
    rows = read_table(
        path.read_bytes(), name, delimiter=delimiter, required=REQUIRED, optional=OPTIONAL, problems=problems
    )
    for line, values in rows:
        yield f"{name}, line {line}", values


def _read_csv(path: Path, name: str, problems: Problems) -> Iterator[tuple[str, list[str]]]:
    return _read_delimited(path, name, problems, ",")


def _read_tsv(path: Path, name: str, problems: Problems) -> Iterator[tuple[str, list[str]]]:
    return _read_delimited(path, name, problems, "\t")


def _read_jsonl(path: Path, name: str, problems: Problems) -> Iterator[tuple[str, list[str]]]:
    # Split at line feeds alone: splitlines would cut at separators that JSON allows inside a string.
    for line, text in enumerate(decode_lines(path.read_bytes(), name, problems).split("\n"), 1):
        if not text.strip():
            continue
        place = f"{name}, line {line}"
        expected = 'a JSON object such as {"left": "...", "right": "..."}'
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            problems.add(place, f"invalid JSON ({error})", expected)
            continue
        if not isinstance(row, dict):
            problems.add(place, shorten(text), expected)
            continue
        missing = [column for column in REQUIRED if column not in row]
        if missing:
            keys = ", ".join(row) or "none"
            problems.add(place, f"no {' and no '.join(missing)} (keys: {keys})", "the keys left and right")
            continue
        values = [_as_text(column, row.get(column)) for column in (*REQUIRED, *OPTIONAL)]
        if None in values:
            column = (*REQUIRED, *OPTIONAL)[values.index(None)]
            problems.add(place, f"{column} {shorten(json.dumps(row[column]))}", "a string")
            continue
        yield place, [value or "" for value in values]


def _read_parquet(path: Path, name: str, problems: Problems) -> Iterator[tuple[str, list[str]]]:
    # imported where it is needed: few folders hold Parquet, and the import takes a quarter of a second
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
        missing = [column for column in REQUIRED if column not in names]
        if missing:
            raise UserError(
                f"{name} has no column {' and no column '.join(map(repr, missing))}; expected the columns "
                f"{COLUMNS}. Its columns: {', '.join(names) or 'none'}. Rename the column and write the file "
                "again."
            )
        there = [column for column in (*REQUIRED, *OPTIONAL) if column in names]
        table = file.read(columns=there).to_pydict()
        types = {column: str(file.schema_arrow.field(column).type) for column in there}
    except (pa.ArrowException, OSError) as error:
        raise UserError(
            f"{name} cannot be read as Parquet ({path.stat().st_size} bytes; {error}). Write it again and run again."
        ) from error
    blank = [None] * len(table["left"])
    columns = [table.get(column, blank) for column in (*REQUIRED, *OPTIONAL)]
    for number, row in enumerate(zip(*columns, strict=True), 1):
        values = [_as_text(column, cell) for column, cell in zip((*REQUIRED, *OPTIONAL), row, strict=True)]
        if None in values:
            column = (*REQUIRED, *OPTIONAL)[values.index(None)]
            problems.add(f"{name}, row {number}", f"{column} of type {types[column]}", "a string")
            continue
        yield f"{name}, row {number}", [value or "" for value in values]


def _as_text(column: str, value: object) -> str | None:
    """The value as text, "" where there is none; None where it has another type. An id may be an integer."""
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool) and column.endswith("_id"):
        return str(value)
    return value if isinstance(value, str) else None


READERS: dict[str, Reader] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
