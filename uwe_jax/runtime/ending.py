"""SIGTERM before training has begun and after it is over: nothing is unsaved, and the status says to start again."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType

from uwe_jax.runtime.exit_codes import EXIT_AGAIN

NOTHING_UNSAVED = "Asked to stop (SIGTERM) while nothing was unsaved. The same command goes on where this one stopped."


def end_on_request() -> None:
    """Ends this process on SIGTERM from here on, at once: without it, imports of seconds end like a crash."""
    signal.signal(signal.SIGTERM, _end)


def say_nothing_unsaved() -> None:
    """Says so, without a buffer: the interpreter may be in the middle of anything."""
    os.write(2, f"\n{NOTHING_UNSAVED}\n".encode())


@contextlib.contextmanager
def ending_at_once() -> Iterator[None]:
    """Ends the process as soon as the work inside is over, or exits with a status, without what Python does last.

    That would wait for threads, of which those of a save that failed may never end, and would let SIGTERM end the
    process like a crash meanwhile. An error that keeps its traceback ends the process as always.
    """
    status: object = 0
    try:
        yield
    except SystemExit as end:
        status = end.code or 0
    end_now(status if isinstance(status, int) else 1)


def end_now(status: int) -> None:
    """Ends the process, whatever its other threads do, when what it has printed is written."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _end(number: int, frame: FrameType | None) -> None:
    say_nothing_unsaved()
    os._exit(EXIT_AGAIN)
