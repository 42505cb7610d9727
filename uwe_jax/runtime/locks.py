"""File locks that name their holder."""

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
QUIET = 2.0  # seconds of waiting that are not reported: a small change takes less
_POLL = 0.05
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}
_NOTE_BYTES = 4096


@contextlib.contextmanager
def exclusive(path: Path, doing: str, *, patience: float = 0.0, advice: str = "") -> Iterator[int]:
    """Holds a lock file during the block.

    The file names its holder and is kept afterwards. The operating system releases the lock when its holder ends,
    however it ends, so a killed process blocks no other. On a file system without locks there is a warning and no lock.

    Args:
      path: of the lock file; its folder is created if missing.
      doing: the holder's activity, for the messages of others: "training in runs/mine".
      patience: seconds to wait for another holder; 0 fails at once, `math.inf` waits without a limit.
      advice: what can be done besides waiting: "name another folder with --out".

    Yields:
      The file descriptor. A child process that inherits it holds the lock too, even if this process is killed.

    Raises:
      UserError: another process holds the lock.
      OSError: the file is not writable.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = _locked(path, doing, patience, advice)
    try:
        with contextlib.suppress(OSError):  # a full disk: the lock holds without a name
            os.ftruncate(file, 0)
            since = datetime.now().astimezone().isoformat(" ", "seconds")
            note = {"pid": os.getpid(), "host": socket.gethostname(), "since": since, "doing": doing}
            os.pwrite(file, json.dumps(note).encode(), 0)
        yield file
    finally:
        with contextlib.suppress(OSError):
            os.ftruncate(file, 0)
        os.close(file)  # releases the lock


def _locked(path: Path, doing: str, patience: float, advice: str) -> int:
    """Opens and locks the file; returns its descriptor."""
    import filelock  # slow to import

    started, reported = time.monotonic(), False
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
        if waited >= QUIET and not reported:
            limit = f" up to {duration(patience)}" if patience < float("inf") else ""
            LOG.info(f"Another process is {holder}. Waiting{limit} for it.")
            reported = True
        time.sleep(_POLL)


def _holder(file: int, doing: str) -> str:
    """Returns the holder's activity, process, host and start, as far as the file says."""
    try:
        note = json.loads(os.pread(file, _NOTE_BYTES, 0))
        text = f"{note['doing']} (process {int(note['pid'])} on {note['host']}, since {note['since']})"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return doing  # it has just begun, or the disk is full
    return "".join(each for each in text if each.isprintable())
