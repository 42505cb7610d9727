"""Locks on files: one process at a time, with the name of the one that holds it."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.progress import duration

LOG = logging.getLogger(__name__)
QUIET = 2.0  # seconds that are waited without a word: a small change takes less
_POLL = 0.05
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}
_NOTE_BYTES = 4096


@contextlib.contextmanager
def exclusive(path: Path, doing: str, *, patience: float = 0.0, advice: str = "") -> Iterator[int]:
    """Holds a lock file while the work inside is done.

    The file says who holds it and stays when the work is over. The operating system releases the lock when its holder
    ends, however it ends, so a killed process blocks nobody. On a file system without locks, which is said, the work
    is done without one.

    Args:
      path: of the lock file; its folder is made if missing.
      doing: what the holder does, as others are told: "training in runs/mine".
      patience: seconds to wait for another holder; 0 fails at once, `math.inf` waits for as long as it takes.
      advice: what can be done besides waiting: "name another folder with --out".

    Yields:
      The descriptor of the file. A child process that inherits it holds the lock too, even if this one is killed.

    Raises:
      UserError: another process holds the lock.
      OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = _locked(path, doing, patience, advice)
    try:
        with contextlib.suppress(OSError):  # a full disk: the lock holds without a name
            os.ftruncate(file, 0)
            note = {"pid": os.getpid(), "host": socket.gethostname(), "since": _now(), "doing": doing}
            os.pwrite(file, json.dumps(note).encode(), 0)
        yield file
    finally:
        with contextlib.suppress(OSError):
            os.ftruncate(file, 0)
        os.close(file)  # and with it the lock


def _locked(path: Path, doing: str, patience: float, advice: str) -> int:
    """A descriptor of the file, with its lock."""
    # Imported here: it takes longer than all the rest.
    import filelock

    started, told = time.monotonic(), False
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if filelock.lock_descriptor(file, blocking=False):
                if os.fstat(file).st_nlink:  # else the last holder has removed it
                    return file
                os.close(file)
                continue
        except OSError as error:
            if error.errno in _NO_LOCKS:
                LOG.warning(
                    f"The file system of {path} has no locks ({error.strerror}): keep other processes out of it."
                )
                return file
            os.close(file)
            raise
        holder = _holder(file, doing)
        os.close(file)
        waited = time.monotonic() - started
        if waited >= patience:
            otherwise = f", or {advice}" if advice else ""
            raise UserError(f"Another process is {holder}. Wait until it has finished and try again{otherwise}.")
        if waited >= QUIET and not told:
            limit = f" up to {duration(patience)}" if patience < float("inf") else ""
            LOG.info(f"Another process is {holder}. Waiting{limit} for it.")
            told = True
        time.sleep(_POLL)


def _holder(file: int, doing: str) -> str:
    """What the holder does, and who it is, as far as the file says."""
    try:
        note = json.loads(os.pread(file, _NOTE_BYTES, 0))
        text = f"{note['doing']} (process {int(note['pid'])} on {note['host']}, since {note['since']})"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return doing  # it has just begun, or has no room for its name
    return "".join(each for each in text if each.isprintable())


def _now() -> str:
    return datetime.now().astimezone().isoformat(" ", "seconds")
