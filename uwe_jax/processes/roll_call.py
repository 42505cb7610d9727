"""Signs of life between the processes of one training.

A collective operation whose other end is gone waits, on some devices for ever. So each process counts upwards in JAX's
coordination service, from a thread, and looks at the counts of the others: who stands still for too long is lost, and
who ends with an error leaves a message. Either ends this process, with a sentence.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any

from uwe_jax.base.errors import UserError
from uwe_jax.base.statuses import EXIT_AGAIN, EXIT_USER_ERROR

_ALIVE, _ENDED = "uwe_jax/alive/", "uwe_jax/ended/"


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
        threading.Thread(target=self._watch, name="roll call", daemon=True).start()

    def part(self) -> None:
        """From here on others may end without this process ending with them."""
        self._parting.set()

    def wait_for_verdict(self) -> None:
        """Returns if no other process turns out to be lost, after the time this takes; ends this process otherwise."""
        time.sleep(self._timeout + 3 * self._pause)

    def ended(self, error: BaseException) -> None:
        """Tells the others that this process ends with an error, and why."""
        self.part()
        kind = "mend" if isinstance(error, UserError) else "error"
        first_line = (str(error).partition("\n")[0] or type(error).__name__)[:1000]
        try:
            self._client.key_value_set(f"{_ENDED}{self._index}", f"{kind} {first_line}", allow_overwrite=True)
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
            self._judge({int(key.rpartition("/")[2]): count for key, count in alive.items()}, ended)

    def _judge(self, alive: dict[int, str], ended: dict[str, str]) -> None:
        for key, message in ended.items():
            kind, _, reason = message.partition(" ")
            status = EXIT_USER_ERROR if kind == "mend" else EXIT_AGAIN
            self._end(f"process {key.rpartition('/')[2]} ended: {reason}", status)
        now = time.monotonic()
        for process in set(range(self._count)) - {self._index}:
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
        print(f"\nProcess {self._index} of {self._count} stops: {why}. {then}", file=sys.stderr, flush=True)
        sys.stdout.flush()
        os._exit(status)
