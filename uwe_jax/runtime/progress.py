"""Results on standard output and progress bars on standard error, which do not tear each other apart.

Nothing of it drives the terminal: see `uwe_jax.runtime.printable`. Log lines: see `uwe_jax.runtime.logging_setup`.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

from uwe_jax.runtime.printable import printable

T = TypeVar("T")
_silent = False


def be_silent() -> None:
    """Leaves out log lines, bars and results from here on: of several processes of one training only one speaks."""
    global _silent
    _silent = True


def is_silent() -> bool:
    """Whether `be_silent` was called."""
    return _silent


def without_bars() -> bool | None:
    """`disable` of a tqdm bar: bars are drawn on terminals alone, and not by --quiet."""
    return True if _silent or logging.getLogger("uwe_jax").level > logging.INFO else None


def report(message: str, *, flush: bool = True) -> None:
    """Prints a result to standard output, above a progress bar where one is drawn."""
    if not _silent:
        tqdm.write(printable(message), file=sys.stdout)
        if flush:
            sys.stdout.flush()


def print_error(message: str) -> None:
    """Prints why a command or process ends to standard error, whoever is silent."""
    print(f"\n{printable(message)}", file=sys.stderr, flush=True)


def progress(items: Iterable[T], *, label: str, unit: str, total: int | None = None) -> Iterator[T]:
    """Iterates over `items` under a bar that names what is done and how fast; the bar goes when it is full.

    The bar is redrawn at most once a second, so a log file does not fill with it.
    """
    return iter(
        tqdm(
            items,
            desc=printable(label),
            unit=unit,
            total=total,
            mininterval=1.0,
            dynamic_ncols=True,
            leave=False,
            disable=without_bars(),
        )
    )


def duration(seconds: float) -> str:
    """Seconds as a person would say them.

    >>> duration(42.3), duration(185), duration(7400)
    ('42 s', '3 min 05 s', '2 h 03 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class StepClock:
    """Time per step and time left, with compilation and the work between steps left out of the rate.

    Args:
      first: steps taken before.
      last: steps to be taken in all.
    """

    def __init__(self, first: int, last: int):
        self._taken = first
        self._last = last
        self._seconds: list[float] = []
        self._since: float | None = None
        self._pause_seconds = 0.0
        self._pauses_left = 0

    def step_done(self) -> None:
        """A step has ended. The time since the one before it is its own, unless there was a pause."""
        now = time.perf_counter()
        if self._since is not None:
            self._seconds.append(now - self._since)
        self._since = now
        self._taken += 1

    def pause(self, seconds: float, left: int) -> None:
        """A validation has ended that took so long, and so many are to come."""
        self._since = None
        self._pause_seconds, self._pauses_left = seconds, left

    @property
    def step_seconds(self) -> float | None:
        """Mean of the latest steps; None before there is one without compilation."""
        latest = self._seconds[-20:]
        return sum(latest) / len(latest) if latest else None

    @property
    def seconds_left(self) -> float | None:
        """Steps and validations to come, at the latest pace."""
        if self.step_seconds is None:
            return None
        return self.step_seconds * (self._last - self._taken) + self._pause_seconds * self._pauses_left
