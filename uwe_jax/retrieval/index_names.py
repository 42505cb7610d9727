"""Names of indexes, as they are given on a command line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from uwe_jax.runtime.errors import UserError


class IndexName(NamedTuple):
    """An index: the name under which its hits are shown, and its place, see `open_space`."""

    name: str
    place: str


def parse_index(text: str) -> IndexName:
    """Reads `INDEX` or `NAME=INDEX`; a folder that exists under the whole text is taken as it is.

    >>> parse_index("skills=indexes/esco"), parse_index("indexes/esco"), parse_index("qdrant:all#jobs")
    (IndexName(name='skills', place='indexes/esco'), IndexName(name='esco', place='indexes/esco'), \
IndexName(name='jobs', place='qdrant:all#jobs'))

    Raises:
      UserError: the text names no place.
    """
    named = None if Path(text.strip()).is_dir() else re.fullmatch(r"([\w.-]+)=(.*)", text.strip(), re.DOTALL)
    name, place = (named[1], named[2]) if named else ("", text.strip())
    name = name or re.split(r"[/#]", place.rstrip("/"))[-1]
    if not name or not place:
        raise UserError(f"--index {text!r} does not name an index. Give a folder, or NAME=FOLDER.")
    return IndexName(name, place)
