"""Reads JSON files of others, with limits and a readable error for anything wrong with one."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

from uwe_jax.runtime.errors import UserError

# Configs and manifests take kilobytes; parsed JSON takes about ten times the size of its file.
_MOST_BYTES = 16 << 20


def read_json(path: Path, remedy: str, *, most_bytes: int = _MOST_BYTES, kind: type = dict) -> Any:
    """Reads a file that holds one JSON object, or a list where `kind` is list.

    Args:
      path: of the file.
      remedy: sentence that ends every error message, the next step for the user.
      most_bytes: limit of the file's size.
      kind: dict or list.

    Raises:
      UserError: the file is missing, unreadable, too large, not UTF-8, invalid JSON, nested too deeply, or of another
        kind.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
            raise UserError(f"{path} is not a regular file. {remedy}")
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        step = "Ask its owner for permission." if isinstance(error, PermissionError) else remedy
        raise UserError(f"{path} cannot be read: {error.strerror or error}. {step}") from error
    if len(content) > most_bytes:
        raise UserError(f"{path} has {path.stat().st_size:,} bytes; at most {most_bytes:,} are allowed. {remedy}")
    value = parse_json(content, path, remedy)
    if not isinstance(value, kind):
        expected = "an object" if kind is dict else "a list"
        raise UserError(f"{path} holds a {type(value).__name__} instead of {expected}. {remedy}")
    return value


def parse_json(content: bytes, name: Path | str, remedy: str) -> Any:
    """Parses JSON of any type from memory; errors as of `read_json`.

    >>> parse_json(b"[1,", "list.json", "Write it again.")
    Traceback (most recent call last):
    uwe_jax.runtime.errors.UserError: list.json is not readable JSON: Expecting value: line 1 column 4 (char 3). \
Write it again.
    """
    try:
        return json.loads(content.decode("utf-8-sig"))
    except RecursionError as error:
        raise UserError(f"{name} is not readable JSON: its lists or objects are nested too deeply. {remedy}") from error
    except ValueError as error:
        raise UserError(f"{name} is not readable JSON: {error}. {remedy}") from error
