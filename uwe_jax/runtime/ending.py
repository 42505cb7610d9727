"""Handles SIGTERM before training has begun and after it is over, when nothing is unsaved."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator

from uwe_jax.runtime.exit_codes import EXIT_AGAIN

NOTHING_UNSAVED = "Asked to stop (SIGTERM) while nothing was unsaved. Re-run the same command to resume."


def end_on_request() -> None:
    """Makes SIGTERM end this process at once from here on: during imports of seconds it would look like a crash."""

    def end(*_: object) -> None:
        say_nothing_unsaved()
        os._exit(EXIT_AGAIN)

    signal.signal(signal.SIGTERM, end)


def say_nothing_unsaved() -> None:
    """Writes `NOTHING_UNSAVED` without a buffer: in a signal handler the interpreter may be anywhere."""
    os.write(2, f"\n{NOTHING_UNSAVED}\n".encode())


@contextlib.contextmanager
def ending_at_once() -> Iterator[None]:
    """Ends the process, without Python's shutdown, as soon as the work inside returns or exits with a status.

    Shutdown would wait for threads, of which those of a failed save may never end, and SIGTERM during it would look
    like a crash. An error that keeps its traceback ends the process as always.
    """
    status: object = 0
    try:
        yield
    except SystemExit as end:
        status = end.code or 0
    end_now(status if isinstance(status, int) else 1)


def end_now(status: int) -> None:
    """Flushes output and ends the process, without waiting for its other threads."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
