"""API keys: reading them, and checking the key of a request."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterable
from pathlib import Path

from uwe_jax.runtime.errors import UserError

VARIABLE = "UWE_JAX_API_KEY"
_SHORTEST = 16


def read_keys(path: Path | None) -> tuple[str, ...]:
    """Reads keys from a file, one per line, and from the environment variable `VARIABLE`, separated by commas.

    Several keys let one be replaced while the other still works. Lines that begin with # are comments.

    Raises:
      UserError: the file cannot be read or has no key, or a key is shorter than 16 characters or not plain ASCII.
    """
    keys = [key.strip() for key in os.environ.get(VARIABLE, "").split(",") if key.strip()]
    if path is not None:
        try:
            lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"--api_key_file {path} cannot be read ({error}). Name a text file of keys.") from error
        found = [line for line in lines if line and not line.startswith("#")]
        if not found:
            raise UserError(
                f"--api_key_file {path} has no key. Write one key per line, of {_SHORTEST} characters or more."
            )
        keys += found
    for key in keys:
        if len(key) < _SHORTEST or not key.isascii() or not key.isprintable() or " " in key:
            raise UserError(
                f"An API key has {len(key)} characters; it must have at least {_SHORTEST}, all of them printable ASCII "
                "without spaces. `openssl rand -hex 32` makes one."
            )
    return tuple(dict.fromkeys(keys))


def admits(keys: Iterable[str], authorization: str, api_key: str) -> bool:
    """Checks the key of the headers Authorization ("Bearer KEY") or X-API-Key, in constant time."""
    scheme, _, token = authorization.partition(" ")
    given = token.strip() if scheme.lower() == "bearer" else api_key.strip()
    digest = hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest()
    return sum([hmac.compare_digest(digest, hashlib.sha256(key.encode()).digest()) for key in keys]) > 0
