"""Requests to stop: SIGTERM, which schedulers, clouds and `kill` send some time before SIGKILL."""

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
from uwe_jax.runtime.command import NOTHING_UNSAVED
from uwe_jax.runtime.errors import Stopped


class Interruption:
    """Collects requests to stop training.

    A single process stops at once where there is nothing to save, else after the current step. Several processes agree
    on the step, through JAX, whichever of them received the request.
    """

    def __init__(self) -> None:
        self._asked = False
        self._at_once = True
        self._abandonable = False
        self._before: Any = None
        self._times_asked = 0

    @classmethod
    @contextlib.contextmanager
    def watched(cls) -> Iterator[Interruption]:
        """Watches for SIGTERM and for maintenance notices inside."""
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
        """Returns whether to save and stop, the same in every process. Call it once after each step."""
        if jax.process_count() > 1:
            # Counted from 1 in this process, not by training steps: JAX reports a request that came before the first
            # call at number 1 alone, which a resumed training is past.
            self._times_asked += 1
            return multihost_utils.reached_preemption_sync_point(self._times_asked)
        return self._asked

    @contextlib.contextmanager
    def later(self) -> Iterator[None]:
        """Defers a request to the next `requested`, or to the end of the block: there is something to save first."""
        self._at_once = False
        try:
            yield
        finally:
            self._at_once = True
        if self._asked:
            raise Stopped(NOTHING_UNSAVED)

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Allows `Stopped` at any moment of a block inside `later`, because its result can be re-created."""
        self._at_once = self._abandonable = True
        try:
            if self._asked:
                raise Stopped("Asked to stop.")
            yield
        finally:
            self._at_once = self._abandonable = False

    def _take(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        if self._at_once and not self._abandonable and callable(self._before):
            # An exception may be swallowed by the code that was running, such as garbage collection.
            self._before(number, frame)
        if self._at_once:
            raise Stopped(NOTHING_UNSAVED)
