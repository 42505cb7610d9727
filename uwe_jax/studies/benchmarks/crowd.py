"""How long each of many calls takes while several clients make them at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")


def latencies(ask: Callable[[T], object], questions: Sequence[T], clients: int) -> tuple[list[float], float]:
    """Asks every question once, each client its next one as soon as it has the answer to the one before.

    Args:
      ask: called from several threads at once; returns when the answer is there.
      questions: shared out in their order.
      clients: threads.

    Returns:
      Seconds of every answer, in the order of the questions, and of all of them together.
    """
    waiting = iter(enumerate(questions))
    taking = threading.Lock()
    seconds = [0.0] * len(questions)
    failures: list[BaseException] = []

    def client() -> None:
        while not failures:
            with taking:
                number, question = next(waiting, (-1, None))
            if number < 0:
                return
            started = time.perf_counter()
            try:
                ask(question)  # type: ignore[arg-type]
            except BaseException as error:  # raised again where the clients were started
                failures.append(error)
                return
            seconds[number] = time.perf_counter() - started

    threads = [threading.Thread(target=client) for _ in range(clients)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return seconds, time.perf_counter() - started


def percentiles(seconds: Sequence[float]) -> dict[str, Any]:
    """The median and the answers that one in ten and one in a hundred waited longer than.

    >>> percentiles([0.1, 0.2, 0.3])["p50"]
    0.2
    """
    return {f"p{share}": float(np.percentile(seconds, share)) for share in (50, 90, 99)}
