"""Being asked to stop: SIGTERM, which schedulers, clouds and `kill` send some time before they use force."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import jax
from jax.experimental import multihost_utils

from uwe_jax.distributed.maintenance import watch_for_notices
from uwe_jax.runtime.ending import NOTHING_UNSAVED
from uwe_jax.runtime.errors import Stopped


class Interruption:
    """Whether training is asked to stop.

    A single process stops at once where there is nothing to save, and at the next step where there is. Several
    processes agree on the step, through JAX, whichever of them was asked.
    """

    def __init__(self) -> None:
        self._asked = False
        self._at_once = True
        self._leaving = False
        self._before: Any = None
        self._times_asked = 0

    @classmethod
    @contextlib.contextmanager
    def watched(cls) -> Iterator[Interruption]:
        """Watches for SIGTERM and for notices of maintenance inside."""
        self = cls()
        # JAX has its own handler, with which several processes agree, and only the main thread can have one.
        own = jax.process_count() == 1 and threading.current_thread() is threading.main_thread()
        if own:
            self._before = signal.signal(signal.SIGTERM, self._take)
        notices = watch_for_notices()
        try:
            yield self
        finally:
            if notices:
                notices.set()
            if own:
                signal.signal(signal.SIGTERM, self._before)

    def requested(self) -> bool:
        """Whether to save and stop, the same answer in every process. To be asked once after each step."""
        if jax.process_count() > 1:
            # Counted from here, not by the steps of the training: JAX answers a request from before the first question
            # at number 1 alone, which a training that goes on is past.
            self._times_asked += 1
            return multihost_utils.reached_preemption_sync_point(self._times_asked)
        return self._asked

    @contextlib.contextmanager
    def later(self) -> Iterator[None]:
        """Inside, a request waits for the next `requested`, or for the end: there is something to save first."""
        self._at_once = False
        try:
            yield
        finally:
            self._at_once = True
        if self._asked:
            raise Stopped(NOTHING_UNSAVED)

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Inside `later`, a stretch that may be left at any moment, by `Stopped`: what it makes can be made again."""
        self._at_once = self._leaving = True
        try:
            if self._asked:
                raise Stopped("Asked to stop.")
            yield
        finally:
            self._at_once = self._leaving = False

    def _take(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        if self._at_once and not self._leaving and callable(self._before):
            # An exception may be swallowed by whatever was at work, such as the collection of garbage.
            self._before(number, frame)
        if self._at_once:
            raise Stopped(NOTHING_UNSAVED)
