r"""Escapes terminal control characters in whatever is printed or written as JSON: texts of others may hold them.

Escaped are control characters (C0 without tab and line feed, DEL, C1), line and paragraph separators, bidirectional
embeddings, overrides and isolates, and lone surrogates, which cannot be encoded.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from uwe_jax.runtime.errors import UserError

_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Returns the text with control characters escaped.

    >>> printable("na\u00efve\t\u062a\n\x1b[2J\x9b2J\u202etxt.exe")
    'naïve\tت\n\\x1b[2J\\x9b2J\\u202etxt.exe'
    """
    return _OBEYED.sub(_escape, text)


def json_text(value: Any, *, indent: int | None = None) -> str:
    r"""Returns the value as JSON that is safe on a terminal, with non-ASCII letters as they are.

    >>> print(json_text({"id": "na\u00efve\x1b\x9b\u202e"}))
    {"id": "naïve\u001b\u009b\u202e"}

    Raises:
      UserError: a number is NaN or infinite, which JSON cannot express; the message has its place.
    """
    try:
        text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    except ValueError:
        if (found := next(_not_finite(value), None)) is None:
            raise
        raise UserError(
            f"{found[0] or 'The result'} is {found[1]}, which JSON cannot express, so nothing was written. Such a "
            "number comes from a damaged or diverged model, or from a damaged index: use another checkpoint, or "
            "rebuild the index."
        ) from None
    # Only strings hold such characters, and json has escaped C0 there.
    return _OBEYED.sub(_unicode_escape, text)


def _not_finite(value: Any, place: str = "") -> Iterator[tuple[str, float]]:
    """Yields the place, such as hits[0].score, and value of every number that is not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        yield place, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _not_finite(each, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list | tuple):
        for number, each in enumerate(value):
            yield from _not_finite(each, f"{place}[{number}]")


def _escape(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def _unicode_escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
