"""Time limits and one-line errors of network calls."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")

_SHOWN = 300


def within(seconds: float, call: Callable[[], T]) -> T:
    """Returns the result of `call`; raises its error, or TimeoutError.

    HTTP timeouts do not cover name look-ups. A call that times out continues in a daemon thread.
    """
    answer: Future[T] = Future()

    def work() -> None:
        try:
            answer.set_result(call())
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        return answer.result(seconds)
    except TimeoutError:
        if answer.done():  # an error of `call` itself
            raise
        raise TimeoutError(f"no answer within {seconds:g} seconds") from None


def in_one_line(error: Exception) -> str:
    """Returns an error's message without line breaks, truncated to 300 characters."""
    text = " ".join(str(error).split())
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
