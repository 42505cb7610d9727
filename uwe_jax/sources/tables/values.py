"""Values of rows: JSON, ids, integers and lists of texts."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

from uwe_jax.sources.tables.lists import written_list

# Types of a column, and how a message calls a value of them. An id is text that files may hold as a number.
TYPES = {
    "text": "a text",
    "texts": """a list of texts such as ['plan shifts', "manage a chef's team"]""",
    "int": "an integer",
    "id": "a text or an integer",
}
_LEVELS = 50  # of lists and objects in a row of JSON; Python itself fails at a thousand
_SURROGATE = re.compile("[\ud800-\udfff]")


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


def id_text(value: object) -> str | None:
    """An id as text; "" where it is missing, None where the value is no id.

    Columns of integers in which some are missing are floats in many files, so whole floats are integers here.

    >>> id_text(" 007 "), id_text(7), id_text(7.0), id_text(float("nan")), id_text(None), id_text(1.5), id_text(True)
    ('007', '7', '7', '', '', None, None)
    """
    if value is None or value != value:  # not a number
        return ""
    if isinstance(value, float | Decimal):
        return f"{value:.0f}" if value % 1 == 0 else None
    return None if isinstance(value, bool | list | dict) else str(value).strip()


def convert(value: object, kind: str) -> object:
    """The value in a type of `TYPES`; None where it has another."""
    if kind == "int":
        return _as_int(value)
    if kind == "id":
        return id_text(value)
    if value is None:
        return [] if kind == "texts" else ""
    if kind == "texts":
        texts = written_list(value.strip()) if isinstance(value, str) else value
        return (
            texts
            if isinstance(texts, list) and all(isinstance(text, str) and not half_pair(text) for text in texts)
            else None
        )
    return value if isinstance(value, str) else None


def _as_int(value: object) -> int | None:
    """Whole numbers, also as text, as a float without a fraction, and as truth values."""
    try:
        number = float(value) if isinstance(value, (str, int, float)) else None
    except (ValueError, OverflowError):
        number = {"true": 1.0, "false": 0.0}.get(value.strip().casefold()) if isinstance(value, str) else None
    return int(number) if number is not None and number.is_integer() else None
