"""Child processes whose output goes to a log, and that end with their parent."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

# Signals that ask a child to end, with the seconds that it has to do so.
_ENDINGS = ((signal.SIGINT, 30.0), (signal.SIGTERM, 10.0))
_TAIL_BYTES = 1 << 16


def run_logged(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str],
    *,
    inherit: Sequence[int] = (),
    watch: Callable[[], None] = lambda: None,
) -> int:
    """Runs a command to its end, with both outputs appended to `log`.

    Runs in the main thread. The child has a session of its own: Ctrl-C reaches only this process, which asks the child
    to end, once, and kills it if it does not.

    Args:
      inherit: file descriptors that stay open in the child.
      watch: called about once per second while the child runs.

    Returns:
      The exit status; minus the signal's number where one ended the child.
    """
    with log.open("ab") as file:
        file.write(f"$ {shlex.join(command)}\n".encode())
        file.flush()
        # A background process of a shell ignores SIGINT, and so would the child, which has to end on request.
        ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        if ignored:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        try:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                pass_fds=tuple(inherit),
                start_new_session=True,
            )
        finally:
            if ignored:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            while True:
                try:
                    return child.wait(timeout=1.0)
                except subprocess.TimeoutExpired:
                    watch()
        finally:
            _end(child)


def _end(child: subprocess.Popen) -> None:
    try:
        for number, patience in _ENDINGS:
            if child.poll() is not None:
                return
            with suppress(ProcessLookupError):
                os.killpg(child.pid, number)
            with suppress(subprocess.TimeoutExpired):
                child.wait(timeout=patience)
    finally:  # also where a second Ctrl-C interrupts the waiting
        if child.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """Lets SIGTERM and a closed terminal end this process like Ctrl-C does, so that it ends its child first."""

    def stop(number: int, _: object) -> None:
        sys.exit(128 + number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def last_lines(log: Path, start: int, count: int) -> list[str]:
    """Reads the last `count` lines with text after byte `start` of a log; redrawn progress bars count as lines."""
    if not log.exists():
        return []
    with log.open("rb") as file:
        file.seek(max(start, log.stat().st_size - _TAIL_BYTES))
        text = file.read().decode(errors="replace")
    lines = [line.rstrip() for line in text.replace("\r", "\n").split("\n")]
    return [line for line in lines if line][-count:]


def describe_status(status: int) -> str:
    """Describes the exit status of a process.

    >>> describe_status(2), describe_status(-15)
    ('exit status 2', 'ended by SIGTERM')
    """
    if status >= 0:
        return f"exit status {status}"
    if status == -signal.SIGKILL:
        return "ended by SIGKILL, probably because the machine ran out of memory"
    return f"ended by {signal.Signals(-status).name}"
