"""Measures wall-clock time: of contenders that take turns, and of calls under load."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")


Spread = dict[str, Any]  # JSON values: seconds of the median, fastest (low) and slowest (high) run, and of all runs


def spread(runs: list[float]) -> Spread:
    """Summarises the seconds of runs.

    >>> spread([3.0, 1.0, 2.0])
    {'median': 2.0, 'low': 1.0, 'high': 3.0, 'runs': [3.0, 1.0, 2.0]}
    """
    return {"median": statistics.median(runs), "low": min(runs), "high": max(runs), "runs": runs}


def interleaved(
    contenders: Mapping[str, Callable[[], object]], runs: int, *, warmups: int = 1, settle: int = 0
) -> dict[str, Spread]:
    """Times contenders in turn, in changing order, so that other load on the machine affects all of them.

    Args:
      contenders: timed functions by name. Each returns only when its work is done, on the device as well.
      runs: of each that count.
      warmups: runs of each before all others, which do not count: compilation, caches, clocks.
      settle: runs that do not count before each that does. A contender that needs much memory has to find it in pieces
        after another's turn: on a CPU a train step took up to twice as long then as after one of its own.
    """
    for work in contenders.values():
        for _ in range(warmups):
            work()
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    for first in range(runs):
        for turn in range(len(order)):
            # Backwards every other time, so that the neighbours change as well.
            step = turn if first % 2 == 0 else -turn
            name = order[(first + step) % len(order)]
            for _ in range(settle):
                contenders[name]()
            started = time.perf_counter()
            contenders[name]()
            taken[name].append(time.perf_counter() - started)
    return {name: spread(seconds) for name, seconds in taken.items()}


def latencies(ask: Callable[[T], object], questions: Sequence[T], clients: int) -> tuple[list[float], float]:
    """Asks every question once from several threads, each of which asks its next as soon as it has its answer.

    Returns:
      Seconds of every answer, in the order of the questions, and of all of them together.
    """

    def seconds(question: T) -> float:
        started = time.perf_counter()
        ask(question)
        return time.perf_counter() - started

    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        taken = list(pool.map(seconds, questions))
    return taken, time.perf_counter() - started


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Returns the 50th, 90th and 99th percentile.

    >>> percentiles([0.1, 0.2, 0.3])["p50"]
    0.2
    """
    return {f"p{share}": float(np.percentile(seconds, share)) for share in (50, 90, 99)}
