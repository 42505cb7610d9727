"""Classifies errors of the file system (full, read-only, I/O, path that cannot be opened) and suggests a remedy."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TypeGuard

_WRITE = {
    errno.ENOSPC: "Free disk space",
    errno.EDQUOT: "Free disk space",
    errno.EROFS: "Make it writable",
    errno.EIO: "Check the disk",
}
# Paths of another type than expected, or without permission. A missing path may be a bug as well.
_OPEN = {
    errno.EACCES: "Ask its owner for permission, or name another path",
    errno.EPERM: "Ask its owner for permission, or name another path",
    errno.EISDIR: "Name a file",
    errno.ENOTDIR: "Name a path whose parents are folders",
    errno.EEXIST: "Remove what is in its place, which is not a folder, or name another path",
    errno.ELOOP: "Name a path that does not link to itself",
    errno.ENAMETOOLONG: "Name a shorter path",
}
_PACKAGE = Path(__file__).resolve().parents[1]
# Storage layers wrap the system's message in theirs.
_MESSAGES = {os.strerror(number): advice for number, advice in _WRITE.items()}


def refuses(error: BaseException) -> TypeGuard[OSError]:
    """Returns whether the disk refused a write; any other OSError may be a bug.

    >>> refuses(OSError(errno.ENOSPC, "No space left on device")), refuses(FileNotFoundError(errno.ENOENT, "Not there"))
    (True, False)
    """
    return isinstance(error, OSError) and error.errno in _WRITE


def unopened(error: BaseException) -> str:
    """Describes why a path of the user cannot be opened; returns "" for any other error, which may be a bug.

    >>> unopened(IsADirectoryError(errno.EISDIR, "Is a directory", "titles.csv"))
    'titles.csv cannot be opened: Is a directory. Name a file.'
    >>> unopened(PermissionError(errno.EPERM, "Operation not permitted")), unopened(ValueError("titles.csv"))
    ('', '')
    """
    # pathlib before Python 3.13 raises RuntimeError for a link to itself.
    if isinstance(error, RuntimeError) and getattr(error.__context__, "errno", 0) == errno.ELOOP:
        error = error.__context__ or error
    if not isinstance(error, OSError) or error.errno not in _OPEN:
        return ""
    named = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes | Path)]
    if not named or any(_PACKAGE in Path(name).absolute().parents for name in named):
        return ""
    if error.errno == errno.EEXIST and any(map(os.path.isdir, named)):  # of a folder that was to be new
        return ""
    return f"{' or '.join(named)} cannot be opened: {error.strerror}. {_OPEN[error.errno]}."


def reason_not_written(error: Exception) -> str | None:
    """Returns why the disk refused a write, also from a storage layer's error; None for any other error."""
    found = next((message for message in _MESSAGES if message in str(error)), None)
    return found or (str(error) if isinstance(error, OSError) else None)


def remedy(reason: str | None) -> str:
    """Returns the advice for a `reason_not_written`, without a full stop."""
    return _MESSAGES.get(reason or "", "Free disk space")
