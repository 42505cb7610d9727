"""Classifies errors of the file system: a disk that takes nothing more, and a path that cannot be opened."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TypeGuard

_TO_MEND = {
    errno.ENOSPC: "Make room",
    errno.EDQUOT: "Make room",
    errno.EROFS: "Make it writable",
    errno.EIO: "Have the disk looked at",
}
# Of a path that is another thing than expected, or another's. One that is missing may be a bug as well.
_UNOPENED = {
    errno.EACCES: "Ask its owner for the right, or name another path",
    errno.EPERM: "Ask its owner for the right, or name another path",
    errno.EISDIR: "Name a file",
    errno.ENOTDIR: "Name a path whose parents are folders",
    errno.EEXIST: "Remove what is in its place, which is no folder, or name another path",
    errno.ELOOP: "Name a path that does not link to itself",
    errno.ENAMETOOLONG: "Name a shorter path",
}
_PACKAGE = Path(__file__).resolve().parents[1]
# Storage layers wrap the system's words in theirs.
_WORDS = {os.strerror(number): advice for number, advice in _TO_MEND.items()}


def refuses(error: BaseException) -> TypeGuard[OSError]:
    """Whether this is a disk's answer to what is written; any other OSError may be a bug.

    >>> refuses(OSError(errno.ENOSPC, "No space left on device")), refuses(FileNotFoundError(errno.ENOENT, "Not there"))
    (True, False)
    """
    return isinstance(error, OSError) and error.errno in _TO_MEND


def unopened(error: BaseException) -> str:
    """A sentence on a path of the user that the system does not open; "" for any other error, which may be a bug.

    >>> unopened(IsADirectoryError(errno.EISDIR, "Is a directory", "titles.csv"))
    'titles.csv cannot be opened: Is a directory. Name a file.'
    >>> unopened(PermissionError(errno.EPERM, "Operation not permitted")), unopened(ValueError("titles.csv"))
    ('', '')
    """
    # pathlib before Python 3.13 answers so when it is to resolve a link to itself.
    if isinstance(error, RuntimeError) and getattr(error.__context__, "errno", 0) == errno.ELOOP:
        error = error.__context__ or error
    if not isinstance(error, OSError) or error.errno not in _UNOPENED:
        return ""
    named = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes | Path)]
    if not named or any(_PACKAGE in Path(name).absolute().parents for name in named):
        return ""
    if error.errno == errno.EEXIST and any(map(os.path.isdir, named)):  # a folder that was to be new
        return ""
    return f"{' or '.join(named)} cannot be opened: {error.strerror}. {_UNOPENED[error.errno]}."


def reason_not_written(error: Exception) -> str | None:
    """Why a disk does not take what is written, whatever the storage layers make of it; None for any other error."""
    said = next((words for words in _WORDS if words in str(error)), None)
    return said or (str(error) if isinstance(error, OSError) else None)


def what_to_mend(reason: str | None) -> str:
    """The first words of the advice on a `reason_not_written`."""
    return _WORDS.get(reason or "", "Make room")
