"""Results on standard output and progress bars on standard error, with control characters escaped."""

from __future__ import annotations

import logging
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from tqdm import tqdm

from uwe_jax.runtime.printable import printable

T = TypeVar("T")
_silent = False


def be_silent() -> None:
    """Turns off log lines, bars, results and uploads of caches, which only the first of several processes writes."""
    global _silent
    _silent = True


def is_silent() -> bool:
    """Returns whether `be_silent` was called."""
    return _silent


def without_bars() -> bool | None:
    """Returns `disable` of a tqdm bar: bars are drawn on terminals alone, and not with --quiet."""
    return True if _silent or logging.getLogger("uwe_jax").level > logging.INFO else None


def report(message: str, *, flush: bool = True) -> None:
    """Prints a result to standard output, above a progress bar."""
    if not _silent:
        tqdm.write(printable(message), file=sys.stdout)
        if flush:
            sys.stdout.flush()


def print_error(message: str) -> None:
    """Prints to standard error why a command or process ends, also after `be_silent`."""
    print(f"\n{printable(message)}", file=sys.stderr, flush=True)


def progress(items: Iterable[T], *, label: str, unit: str, total: int | None = None) -> Iterator[T]:
    """Iterates over `items` under a progress bar, which disappears when it is full."""
    looks: dict[str, Any] = {"mininterval": 1.0, "dynamic_ncols": True, "leave": False, "disable": without_bars()}
    return iter(tqdm(items, desc=printable(label), unit=unit, total=total, **looks))


def counted(count: int, noun: str) -> str:
    """Returns a number and its noun, in the plural unless the number is 1.

    >>> counted(1, "query"), counted(1200, "query"), counted(0, "alias"), counted(2, "skill")
    ('1 query', '1,200 queries', '0 aliases', '2 skills')
    """
    if noun.endswith("y") and noun[-2] not in "aeiou":
        plural = f"{noun[:-1]}ies"
    else:
        plural = f"{noun}{'es' if noun.endswith('s') else 's'}"
    return f"{count:,} {noun if count == 1 else plural}"


def some(texts: list[str], most: int = 8) -> str:
    """Returns the first of some texts, separated by commas, and how many more there are."""
    return ", ".join(texts[:most]) + (f" and {len(texts) - most:,} more" if len(texts) > most else "")


def duration(seconds: float) -> str:
    """Formats seconds for people.

    >>> duration(42.3), duration(185), duration(7400)
    ('42 s', '3 min 05 s', '2 h 03 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def data_size(size: float) -> str:
    """Formats bytes of files and transfers for people, in decimal units.

    >>> data_size(1), data_size(512), data_size(2_300), data_size(999_960), data_size(4.2e9)
    ('1 byte', '512 bytes', '2.3 kB', '1.0 MB', '4.2 GB')
    """
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if round(size / unit, 1) >= 1:
            return f"{size / unit:,.1f} {name}"
    return counted(int(size), "byte")


class StepClock:
    """Estimates time per step, without compilation and validations, and the time left.

    Args:
      first: steps already taken.
      last: total number of steps.
    """

    def __init__(self, first: int, last: int):
        self._taken, self._last = first, last
        self._latest: deque[float] = deque(maxlen=20)
        self._since: float | None = None
        self._pauses = 0.0  # seconds of all that are to come

    def step_done(self) -> None:
        """Records the end of a step; it took the time since the previous one, unless there was a pause."""
        now = time.perf_counter()
        if self._since is not None:
            self._latest.append(now - self._since)
        self._since = now
        self._taken += 1

    def pause(self, seconds: float, left: int) -> None:
        """Records the end of a validation that took `seconds`; `left` more are to come."""
        self._since = None
        self._pauses = seconds * left

    @property
    def step_seconds(self) -> float | None:
        """Mean of the latest 20 steps; None before the first one without compilation."""
        return sum(self._latest) / len(self._latest) if self._latest else None

    @property
    def seconds_left(self) -> float | None:
        """Time of the remaining steps and validations at the latest pace; None before there is one."""
        pace = self.step_seconds
        return None if pace is None else pace * (self._last - self._taken) + self._pauses
