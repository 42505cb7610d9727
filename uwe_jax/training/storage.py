"""What disks and buckets answer a checkpoint, in words, and a file of one that is written anew."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from etils import epath

from uwe_jax.base.errors import UserError
from uwe_jax.base.files import write_atomically
from uwe_jax.base.remote import is_remote

# What a disk answers that takes nothing more, in the system's words, as storage layers wrap them in theirs; and what to
# do about it.
_NOT_WRITTEN = {
    os.strerror(errno.ENOSPC): "Make room",
    os.strerror(errno.EDQUOT): "Make room",
    os.strerror(errno.EROFS): "Make it writable",
    os.strerror(errno.EIO): "Have the disk looked at",
}


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


def reason_not_written(error: Exception) -> str | None:
    """Why a disk does not take what is written, whatever the storage layers make of it; None for any other error."""
    said = next((words for words in _NOT_WRITTEN if words in str(error)), None)
    return said or (str(error) if isinstance(error, OSError) else None)


def what_to_mend(reason: str) -> str:
    """The first words of the advice on a `reason_not_written`."""
    return _NOT_WRITTEN.get(reason, "Make room")


def replace_json(file: Path | epath.Path, value: dict[str, Any]) -> None:
    """Writes JSON in one step: a kill leaves the old file or the new one, and a bucket never half an object."""
    content = json.dumps(value)
    if is_remote(str(file)):
        file.write_text(content)
    else:
        write_atomically(Path(file), content.encode())
