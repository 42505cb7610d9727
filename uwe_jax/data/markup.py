"""Detects HTML in texts that should be plain, such as labels of tables."""

from __future__ import annotations

import html.entities
import re

from uwe_jax.runtime.progress import counted

_TAG = re.compile(
    r"</?(?:[abipu]|br|div|em|font|h[1-6]|hr|img|li|ol|span|strong|table|t[dhr]|ul)(?:\s[^<>]*)?/?>", re.I
)
_ENTITY = re.compile(r"&(?:#\d+|#x[0-9a-f]+|([a-z]+\d{0,2}));", re.I)


def has_markup(text: str) -> bool:
    """Returns whether a text has a tag of HTML, or one of its entities.

    >>> [has_markup(text) for text in ("<b>nurse</b>", "C++ &amp; SQL", "<5 years in R&D; <COMPANY>")]
    [True, True, False]
    """
    if "&" in text and any(not found[1] or f"{found[1]};" in html.entities.html5 for found in _ENTITY.finditer(text)):
        return True
    return "<" in text and _TAG.search(text) is not None


def markup_note(count: int, noun: str, example: str) -> str:
    """Returns a phrase on so many texts, such as `example`, for which `has_markup` holds."""
    return (
        f"{counted(count, noun)} with HTML tags or entities read as written, such as {example[:60]!r}; convert to "
        "plain text first if they are left over from a web page"
    )
