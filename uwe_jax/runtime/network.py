"""What a place on the network may cost before it counts as not there."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_SHOWN = 300


def within(seconds: float, call: Callable[[], T]) -> T:
    """The result of `call`, given up after `seconds`: no HTTP timeout covers a name look-up that hangs.

    A call that was given up goes on in a thread that nobody waits for.

    Raises:
      TimeoutError: there was no result in time; in one phrase.
      Exception: whatever `call` raises.
    """
    answer: queue.SimpleQueue[tuple[T | None, Exception | None]] = queue.SimpleQueue()

    def work() -> None:
        try:
            answer.put((call(), None))
        except Exception as error:
            answer.put((None, error))

    threading.Thread(target=work, daemon=True).start()
    try:
        value, error = answer.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no answer within {seconds:g} seconds") from None
    if error is not None:
        raise error
    return value  # type: ignore[return-value]  # None only where `call` returns it


def in_one_line(error: Exception) -> str:
    """What an error says, without its line breaks, cut where it is long."""
    text = " ".join(str(error).split())
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
