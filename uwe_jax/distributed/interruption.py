"""Requests to stop: SIGTERM, some time before SIGKILL, and notices of Google's metadata server, as SIGTERM."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import jax
from jax.experimental import multihost_utils

from uwe_jax.runtime.command import NOTHING_UNSAVED
from uwe_jax.runtime.errors import Stopped

_PRODUCT = Path("/sys/class/dmi/id/product_name")
_HOST = "GCE_METADATA_HOST"  # as Google's own client libraries have it
PAUSE_SECONDS = 5.0
_NO_NOTICE = {"maintenance-event": "NONE", "preempted": "FALSE"}


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
        ended = threading.Event()
        if _HOST in os.environ or _is_google_machine():
            host = os.environ.get(_HOST, "metadata.google.internal")
            threading.Thread(target=_watch, args=(host, ended), name="notices", daemon=True).start()
        try:
            yield self
        finally:
            ended.set()
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


def notice(host: str) -> str | None:
    """Returns the current notice, such as `maintenance-event: TERMINATE_ON_HOST_MAINTENANCE`; None without answer."""
    for name, no_notice in _NO_NOTICE.items():
        url = f"http://{host}/computeMetadata/v1/instance/{name}"
        request = urllib.request.Request(url, headers={"Metadata-Flavor": "Google"})
        try:
            with urllib.request.urlopen(request, timeout=2) as answer:
                value = answer.read(100).decode(errors="replace").strip()
        except (OSError, ValueError):
            continue
        if value and value != no_notice:
            return f"{name}: {value}"
    return None


def _watch(host: str, ended: threading.Event) -> None:
    while not ended.wait(PAUSE_SECONDS):
        if notice(host) and not ended.is_set():
            os.kill(os.getpid(), signal.SIGTERM)
            return


def _is_google_machine() -> bool:
    try:
        return "Google" in _PRODUCT.read_text()
    except OSError:
        return False
