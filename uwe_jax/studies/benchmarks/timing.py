"""Wall-clock time of several contenders, measured so that a busy moment strikes them all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Times:
    """Seconds of every run, in the order they were taken."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle run, or the mean of the two in the middle."""
        return statistics.median(self.seconds)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a row: median, low, high and all runs."""
        return {
            "median": self.median,
            "low": min(self.seconds),
            "high": max(self.seconds),
            "runs": list(self.seconds),
        }


def interleaved(
    contenders: Mapping[str, Callable[[], object]], runs: int, *, warmups: int = 1, settle: int = 0
) -> dict[str, Times]:
    """Times contenders in turn: one run of each, then the next of each, another one first every time.

    Args:
      contenders: by name, what is timed. Each returns only when its work is done, on the device as well.
      runs: of each that count.
      warmups: of each before, which do not: compilation, caches, clocks.
      settle: runs that do not count before each that does. Whoever needs much memory pays for finding it in pieces
        when its turn comes: on a CPU a train step after another contender's took up to twice as long as after its own.
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
    return {name: Times(tuple(seconds)) for name, seconds in taken.items()}
