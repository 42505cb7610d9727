"""Time limits and one-line errors of network calls."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_SHOWN = 300


def within(seconds: float, call: Callable[[], T]) -> T:
    """Returns the result of `call`; raises its error, or TimeoutError.

    HTTP timeouts do not cover name look-ups. A call that times out continues in a daemon thread.
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
    """Returns an error's message without line breaks, truncated to 300 characters."""
    text = " ".join(str(error).split())
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
