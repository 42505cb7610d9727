"""Signs of life between the processes of one training.

A collective operation whose other end is gone waits, on some devices for ever. So each process counts upwards in JAX's
coordination service, from a thread, and looks at the counts of the others: who stands still for too long is lost, and
who ends leaves a message, its status and why. A loss or an error ends this process, with a sentence.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from uwe_jax.runtime.command import exit_status
from uwe_jax.runtime.ending import end_now
from uwe_jax.runtime.exit_codes import EXIT_AGAIN, EXIT_INTERRUPTED, EXIT_USER_ERROR
from uwe_jax.runtime.progress import print_error

_ALIVE, _ENDED = "uwe_jax/alive/", "uwe_jax/ended/"
# With which all end if one does: that one is not repeated. After anything else the others are, with the same command.
_FINAL = (EXIT_USER_ERROR, EXIT_INTERRUPTED)


class RollCall:
    """Watches the other processes until `part`.

    Args:
      client: JAX's connection to its coordination service.
      index: of this process.
      count: of processes.
      timeout_seconds: after which a process that stands still is taken for lost.
    """

    def __init__(self, client: Any, index: int, count: int, timeout_seconds: float):
        self._client = client
        self._index = index
        self._count = count
        self._timeout = timeout_seconds
        self._parting = threading.Event()
        self._seen: dict[int, tuple[str, float]] = {}
        self._pause = min(2.0, timeout_seconds / 10)
        self._answers = 0
        threading.Thread(target=self._watch, name="roll call", daemon=True).start()
        if index:
            threading.Thread(target=self._watch_service, name="roll call's service", daemon=True).start()

    def part(self) -> None:
        """From here on this process and the others may end, one by one and in any order."""
        self._tell(0, "has nothing left to do")

    def wait_for_verdict(self) -> None:
        """Returns if no other process turns out to be lost, after the time this takes; ends this process otherwise."""
        time.sleep(self._timeout + 3 * self._pause)

    def ended(self, error: BaseException) -> None:
        """Tells the others that this process ends with an error, and why."""
        self._tell(exit_status(error), (str(error).partition("\n")[0] or type(error).__name__)[:1000])

    def _tell(self, status: int, why: str) -> None:
        self._parting.set()
        try:
            self._client.key_value_set(f"{_ENDED}{self._index}", f"{status} {why}", allow_overwrite=True)
        except Exception:  # the service may be what is gone; then there is nobody to tell
            return

    def _watch(self) -> None:
        beats = 0
        while not self._parting.wait(self._pause):
            beats += 1
            try:
                self._client.key_value_set(f"{_ALIVE}{self._index}", str(beats), allow_overwrite=True)
                alive = dict(self._client.key_value_dir_get(_ALIVE))
                ended = dict(self._client.key_value_dir_get(_ENDED))
            except Exception as error:  # of the connection, under whatever name the library gives it
                if self._index and not self._parting.is_set():
                    self._end(f"the first process does not answer any more ({type(error).__name__})", EXIT_AGAIN)
                continue
            self._answers += 1
            self._judge({int(key.rpartition("/")[2]): count for key, count in alive.items()}, ended)

    def _watch_service(self) -> None:
        """Notices a first process that is frozen, not gone: what is asked of it then waits, without an error."""
        answers, waited = -1, 0.0
        # Counted in pauses: all processes of a machine that is suspended for a while are well when it goes on.
        while not self._parting.wait(self._pause):
            waited = waited + self._pause if self._answers == answers else 0.0
            answers = self._answers
            if waited > self._timeout:
                self._end(f"the first process has given no answer for {self._timeout} seconds", EXIT_AGAIN)

    def _judge(self, alive: dict[int, str], ended: dict[str, str]) -> None:
        parted = {self._index}
        for key, message in ended.items():
            process = int(key.rpartition("/")[2])
            status, _, reason = message.partition(" ")
            if int(status):
                self._end(f"process {process} ended: {reason}", int(status) if int(status) in _FINAL else EXIT_AGAIN)
            parted.add(process)
        now = time.monotonic()
        for process in set(range(self._count)) - parted:
            count = alive.get(process, "")
            if process not in self._seen or self._seen[process][0] != count:
                self._seen[process] = count, now
            elif now - self._seen[process][1] > self._timeout:
                self._end(f"process {process} has given no sign of life for {self._timeout} seconds", EXIT_AGAIN)

    def _end(self, why: str, status: int) -> None:
        """Ends the process from this thread: the main one may wait for a collective that never comes."""
        if self._parting.is_set():
            return
        then = "The same command goes on from the last checkpoint." if status == EXIT_AGAIN else "See its log."
        print_error(f"Process {self._index} of {self._count} stops: {why}. {then}")
        end_now(status)
