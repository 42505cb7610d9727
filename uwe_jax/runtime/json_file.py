"""Reading JSON files that others wrote: within bounds, and with a sentence for whatever is wrong with one."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

from uwe_jax.runtime.errors import UserError

# Configs and manifests take kilobytes; Python takes about ten times what a file has.
MOST_BYTES = 16 << 20


def read_json(path: Path, remedy: str, *, most_bytes: int = MOST_BYTES) -> dict[str, Any]:
    """Reads a file that holds one JSON object.

    Args:
      path: of the file.
      remedy: sentence that ends every error, the next step for the user.
      most_bytes: a larger file is refused before it takes memory.

    Raises:
      UserError: the file is missing, not readable, too large, not UTF-8, not valid JSON, nested too deeply, or holds
        something else than an object. The message names the file and the reason.
    """
    value = parse_json(_read(path, remedy, most_bytes), path, remedy)
    if not isinstance(value, dict):
        raise UserError(f"{path} holds a {type(value).__name__} instead of an object. {remedy}")
    return value


def read_json_list(path: Path, remedy: str, *, most_bytes: int = MOST_BYTES) -> list[Any]:
    """Reads a file that holds one JSON list; arguments and errors as of `read_json`."""
    value = parse_json(_read(path, remedy, most_bytes), path, remedy)
    if not isinstance(value, list):
        raise UserError(f"{path} holds a {type(value).__name__} instead of a list. {remedy}")
    return value


def parse_json(content: bytes, name: Path | str, remedy: str) -> Any:
    """Parses JSON of any kind that stands in memory; errors as of `read_json`.

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


def _read(path: Path, remedy: str, most_bytes: int) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
            raise UserError(f"{path} is not a regular file. {remedy}")
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}. {remedy}") from error
    if len(content) > most_bytes:
        raise UserError(
            f"{path} has {path.stat().st_size:,} bytes, and a file of its kind has at most {most_bytes:,}. {remedy}"
        )
    return content
