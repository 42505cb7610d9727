"""Heartbeats between training processes.

A collective operation waits for a lost process, on some devices for ever. So a thread of each process counts upwards
in JAX's coordination service and reads the counts of the others. A process whose count stops for too long is lost; one
that exits leaves a message with its status and reason. A loss or an error ends this process, with a sentence.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from uwe_jax.runtime.command import EXIT_AGAIN, EXIT_INTERRUPTED, EXIT_USER_ERROR, end_now, exit_status
from uwe_jax.runtime.progress import print_error

_ALIVE, _ENDED = "uwe_jax/alive/", "uwe_jax/ended/"
# One process that exits so ends all of them for good. After any other status launchers run the same command again.
_FINAL = (EXIT_USER_ERROR, EXIT_INTERRUPTED)


class Heartbeat:
    """Detects failures of the other processes until `finish`, over JAX's connection to its coordination service."""

    def __init__(self, client: Any, index: int, count: int, timeout_seconds: float):
        self._client, self._index, self._count = client, index, count
        self._timeout = timeout_seconds  # a process whose count has not changed for so long is lost
        self._finished = threading.Event()
        self._seen: dict[int, tuple[str, float]] = {}
        self._pause = min(2.0, timeout_seconds / 10)
        self._answers = 0
        threading.Thread(target=self._watch, name="heartbeat", daemon=True).start()
        if index:
            threading.Thread(target=self._watch_service, name="heartbeat service", daemon=True).start()

    def finish(self) -> None:
        """Stops watching: from here on the processes may exit one by one, in any order."""
        self._report(0, "has nothing left to do")

    def wait_for_detection(self) -> None:
        """Waits as long as detecting a lost process takes; ends this process if one is lost, else returns."""
        time.sleep(self._timeout + 3 * self._pause)

    def failed(self, error: BaseException) -> None:
        """Reports to the others that this process exits with an error, and why."""
        self._report(exit_status(error), (str(error).partition("\n")[0] or type(error).__name__)[:1000])

    def _report(self, status: int, why: str) -> None:
        self._finished.set()
        try:
            self._client.key_value_set(f"{_ENDED}{self._index}", f"{status} {why}", allow_overwrite=True)
        except Exception:  # the service itself may be lost; then the report reaches no process
            return

    def _watch(self) -> None:
        beats = 0
        while not self._finished.wait(self._pause):
            beats += 1
            try:
                self._client.key_value_set(f"{_ALIVE}{self._index}", str(beats), allow_overwrite=True)
                alive = dict(self._client.key_value_dir_get(_ALIVE))
                ended = dict(self._client.key_value_dir_get(_ENDED))
            except Exception as error:  # of the connection, under whatever name the library gives it
                if self._index and not self._finished.is_set():
                    self._end(f"the first process no longer answers ({type(error).__name__})", EXIT_AGAIN)
                continue
            self._answers += 1
            self._detect({int(key.rpartition("/")[2]): count for key, count in alive.items()}, ended)

    def _watch_service(self) -> None:
        """Detects a first process that is frozen: requests to it then wait, without an error."""
        answers, waited = -1, 0.0
        # Counted in pauses: after a machine was suspended for a while, all of its processes are well.
        while not self._finished.wait(self._pause):
            waited = waited + self._pause if self._answers == answers else 0.0
            answers = self._answers
            if waited > self._timeout:
                self._end(f"the first process has given no answer for {self._timeout} seconds", EXIT_AGAIN)

    def _detect(self, alive: dict[int, str], ended: dict[str, str]) -> None:
        exited = {self._index}
        for key, message in ended.items():
            process = int(key.rpartition("/")[2])
            status, _, reason = message.partition(" ")
            if int(status):
                self._end(f"process {process} ended: {reason}", int(status) if int(status) in _FINAL else EXIT_AGAIN)
            exited.add(process)
        now = time.monotonic()
        for process in set(range(self._count)) - exited:
            count = alive.get(process, "")
            if process not in self._seen or self._seen[process][0] != count:
                self._seen[process] = count, now
            elif now - self._seen[process][1] > self._timeout:
                self._end(f"process {process} has sent no heartbeat for {self._timeout} seconds", EXIT_AGAIN)

    def _end(self, why: str, status: int) -> None:
        """Ends the process from this thread: the main one may wait for a collective that never comes."""
        if self._finished.is_set():
            return
        self._finished.set()
        then = "Re-run the same command to resume from the last checkpoint." if status == EXIT_AGAIN else "See its log."
        print_error(f"Process {self._index} of {self._count} stops: {why}. {then}")
        end_now(status)
