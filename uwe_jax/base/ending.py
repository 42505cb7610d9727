"""SIGTERM before training has begun and after it is over: nothing is unsaved, and the status says to start again."""

from __future__ import annotations

import os
import signal
from types import FrameType

from uwe_jax.base.statuses import EXIT_AGAIN

_SENTENCE = b"\nAsked to stop (SIGTERM) while nothing was unsaved. The same command goes on where this one stopped.\n"


def end_on_request() -> None:
    """Ends this process on SIGTERM from here on, at once: without it, imports of seconds end like a crash."""
    signal.signal(signal.SIGTERM, _end)


def say_nothing_unsaved() -> None:
    """Says so, without a buffer: the interpreter may be in the middle of anything."""
    os.write(2, _SENTENCE)


def _end(number: int, frame: FrameType | None) -> None:
    say_nothing_unsaved()
    os._exit(EXIT_AGAIN)
