"""What a disk answers that takes nothing more, and what to do about it."""

from __future__ import annotations

import errno
import os
from typing import TypeGuard

_TO_MEND = {
    errno.ENOSPC: "Make room",
    errno.EDQUOT: "Make room",
    errno.EROFS: "Make it writable",
    errno.EIO: "Have the disk looked at",
}
_DENIED = (errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR)
# Storage layers wrap the system's words in theirs.
_WORDS = {os.strerror(number): advice for number, advice in _TO_MEND.items()}


def refuses(error: BaseException) -> TypeGuard[OSError]:
    """Whether this is a disk's answer to what is written; any other OSError may be a bug.

    >>> refuses(OSError(errno.ENOSPC, "No space left on device")), refuses(FileNotFoundError(errno.ENOENT, "Not there"))
    (True, False)
    """
    return isinstance(error, OSError) and error.errno in _TO_MEND


def denies(error: BaseException) -> TypeGuard[OSError]:
    """Whether a named file may not be opened: of another account, or a folder where a file is expected or vice versa.

    >>> denies(PermissionError(errno.EACCES, "Permission denied", "texts.csv")), denies(PermissionError("no file"))
    (True, False)
    """
    return isinstance(error, OSError) and error.errno in _DENIED and error.filename is not None


def reason_not_written(error: Exception) -> str | None:
    """Why a disk does not take what is written, whatever the storage layers make of it; None for any other error."""
    said = next((words for words in _WORDS if words in str(error)), None)
    return said or (str(error) if isinstance(error, OSError) else None)


def what_to_mend(reason: str | None) -> str:
    """The first words of the advice on a `reason_not_written`."""
    return _WORDS.get(reason or "", "Make room")
