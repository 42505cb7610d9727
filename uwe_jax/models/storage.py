"""A checkpoint that cannot be read, in words, and a file of one that is written anew."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from etils import epath

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import write_atomically
from uwe_jax.runtime.process_state import quiet
from uwe_jax.runtime.remote import is_remote, library_paths


@contextlib.contextmanager
def narration_off() -> Iterator[None]:
    """Keeps Orbax, which narrates every save and restore, and the stores below it from doing so inside."""
    verbose = logging.getLogger("uwe_jax").isEnabledFor(logging.DEBUG)
    with quiet(absl=logging.WARNING if verbose else logging.ERROR), library_paths():
        yield


@contextlib.contextmanager
def reading(step: int) -> Iterator[None]:
    """Turns what goes wrong inside into a UserError: damage shows as whatever the storage layers raise."""
    try:
        yield
    except Exception as error:
        first_line = str(error).partition("\n")[0][:300]
        raise UserError(
            f"The checkpoint of step {step} cannot be read ({type(error).__name__}: {first_line})."
        ) from error


def replace_json(file: Path | epath.Path, value: dict[str, Any]) -> None:
    """Writes JSON in one step: a kill leaves the old file or the new one, and a bucket never half an object."""
    content = json.dumps(value)
    if is_remote(str(file)):
        file.write_text(content)
    else:
        write_atomically(Path(file), content.encode())
