"""Values of rows: JSON, ids, integers and lists of texts."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from uwe_jax.sources.tables.problems import shorten

# Types of a column, with their description in messages. An id is text that files may store as a number. Of any type are
# values as the file has them: text in CSV and sheets, any value of JSON or Parquet, None where a row lacks the column.
ANY = "any"
TYPES = {
    ANY: "any value",
    "text": "a text",
    "texts": """a list of texts such as ['plan shifts', "manage a chef's team"]""",
    "list": "texts separated by ; or |, or a list",
    "ints": "a list of integers",
    "int": "an integer",
    "float": "a number",
    "json": "a JSON value",
    "id": "a text or an integer",
}
_LEVELS = 50  # of lists and objects in a row of JSON; Python itself fails at a thousand
_SURROGATE = re.compile("[\ud800-\udfff]")
_SEPARATORS = re.compile(r"[;|\n]")
_ITEM = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[^,]+)')  # of an unquoted list, as PostgreSQL prints an array
_QUOTED = re.compile(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")(\s+(?=['"]))?""")


def half_pair(value: object) -> bool:
    """Returns whether a text, or one in a list, holds half a surrogate pair: JSON can express it, UTF-8 cannot.

    >>> half_pair("\\ud83d"), half_pair("\U0001f600"), half_pair(["a", "\\ude00"])
    (True, False, True)
    """
    if isinstance(value, str):
        return not value.isascii() and _SURROGATE.search(value) is not None
    return isinstance(value, list) and any(map(half_pair, value))


def parse_json(text: str | bytes) -> Any:
    """Parses a row or file; ValueError if it is not JSON, or nested deeper than `_LEVELS`."""
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


def as_row(value: object) -> dict[str, Any] | None:
    """Returns the row of a JSON value: an object, or a text as the column `text`; None for other values."""
    return {"text": value} if isinstance(value, str) else value if isinstance(value, dict) else None


def no_row(value: object, columns: Sequence[str]) -> tuple[str, str]:
    """Describes a JSON value that `as_row` rejects, and what was expected."""
    return shorten(json.dumps(value)), f"a JSON object with the keys {', '.join(columns)}"


def id_text(value: object) -> str | None:
    """Converts an id to text; "" if it is missing, None if it is not an id.

    Whole floats are integers here: files often store columns of integers with missing values as floats.

    >>> id_text(" 007 "), id_text(7), id_text(7.0), id_text(float("nan")), id_text(None), id_text(1.5), id_text(True)
    ('007', '7', '7', '', '', None, None)
    """
    if value is None or value != value:  # NaN
        return ""
    if isinstance(value, float | Decimal):
        return f"{value:.0f}" if value % 1 == 0 else None
    if isinstance(value, bytes):
        value = value.decode(errors="surrogateescape")
    return None if isinstance(value, bool | list | dict) or half_pair(value) else str(value).strip()


def convert(value: object, kind: str) -> object:
    """Converts a value to a type of `TYPES`; None if it has another."""
    if kind == ANY:
        return value
    if kind == "int":
        return _as_int(value)
    if kind == "ints":
        numbers = [*map(_as_int, parsed)] if isinstance(parsed := _unquoted(value), list) else [None]
        return None if None in numbers else numbers
    if kind == "float":
        return _as_float(value)
    if kind == "json":
        parsed = _unquoted(value)
        return None if isinstance(value, str) and parsed is None else json.dumps(parsed)
    if kind == "list":
        return split_list(value, commas=False)
    if kind == "id":
        return id_text(value)
    if value is None:
        return [] if kind == "texts" else ""
    if kind == "text":
        return value if isinstance(value, str) else None
    texts = _unquoted(value)
    valid = isinstance(texts, list) and all(isinstance(text, str) and not half_pair(text) for text in texts)
    return texts if valid else None


def _unquoted(value: object) -> object:
    """Returns the value that a text prints; other values as they are."""
    return _parsed(value.strip()) if isinstance(value, str) else value


def _as_float(value: object) -> float | None:
    try:
        return float(value) if isinstance(value, (str, int, float)) else None
    except (ValueError, OverflowError):
        return {"true": 1.0, "false": 0.0}.get(value.strip().casefold()) if isinstance(value, str) else None


def _as_int(value: object) -> int | None:
    number = _as_float(value)
    return int(number) if number is not None and number.is_integer() else None


def split_list(cell: object, *, commas: bool = True) -> list[str] | None:
    """Splits a cell into stripped texts, without empty ones; None if it has other values.

    Args:
      cell: a list, a list as JSON, Python, NumPy or PostgreSQL print it, or texts separated by semicolons, bars or
        line breaks. None and empty text are an empty list.
      commas: separate texts if nothing else does; in brackets or braces they always do.

    >>> split_list("Python; SQL | weld metal"), split_list('["C#", "plan shifts"]'), split_list("Python, SQL")
    (['Python', 'SQL', 'weld metal'], ['C#', 'plan shifts'], ['Python', 'SQL'])
    >>> split_list(["Python; SQL"]), split_list("install, test and repair pumps", commas=False), split_list(7)
    (['Python; SQL'], ['install, test and repair pumps'], None)
    """
    if cell is None:
        return []
    if isinstance(cell, str):
        text = cell.strip()
        enclosed = text[:1] + text[1:][-1:] in ("[]", "{}")
        cell = _parsed(f"[{text[1:-1]}]") if enclosed else None
        if cell is None and enclosed and not re.search(r"[][{}]", text[1:-1]):
            text = text[1:-1]
            cell = None if _SEPARATORS.search(text) else [each.strip(' "') for each in _ITEM.findall(text)]
        if cell is None:
            cell = _SEPARATORS.split(text) if _SEPARATORS.search(text) or not commas else text.split(",")
    if not isinstance(cell, list) or not all(isinstance(each, str) for each in cell):
        return None
    return [stripped for each in cell if (stripped := each.strip())]


def _parsed(text: str) -> object:
    """Parses a literal of JSON or Python; None for other texts."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an invalid escape: a backslash in a label
            # NumPy prints no commas between texts, which Python would join.
            return ast.literal_eval(_QUOTED.sub(lambda found: found[1] + ("," if found[2] else ""), text))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
