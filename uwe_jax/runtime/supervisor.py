"""Detects, without JAX, one of several processes, whose parent reports why it was killed.

When the first of several processes is lost, JAX aborts the others from a thread of its own, without running Python:
there would be a C++ stack trace and the status of a crash. The parent sees that the first process is gone, reports it
and exits with the status on which launchers start again.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from uwe_jax.runtime.command import EXIT_AGAIN, say_nothing_unsaved
from uwe_jax.runtime.progress import print_error

_FLAG = re.compile(r"--config\.distributed\.processes=(\d+)$")
# Variables with the number of processes: ours, and those of launchers that JAX supports.
NUMBERS = ("JAX_NUM_PROCESSES", "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE")
# Slurm sets the number for a batch script too; this variable, which JAX reads, is set for tasks alone.
_SLURM_TASK = "SLURM_STEP_NODELIST"
_PR_SET_PDEATHSIG = 1
_note: int | None = None  # the child's end of a pipe to its parent


def supervise() -> None:
    """Continues in a child process, with whose status this one exits; does nothing for a training of one process.

    To be called before any thread is started. SIGTERM is passed on; Ctrl-C reaches the child by itself.
    """
    global _note
    if not is_one_of_several(sys.argv[1:], os.environ):
        return
    reader, writer = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child:
        os.close(writer)
        os._exit(_watch(child, reader))
    os.close(reader)
    _note = writer
    # A handler in Python would wait for C++, which waits for the other processes for minutes; the parent reports it.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with contextlib.suppress(OSError, AttributeError):  # Linux: the child must not outlive its parent
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def tell(coordinator: str, process: int, processes: int) -> None:
    """Reports to the parent, if any, which process this is and at which HOST:PORT the first one listens."""
    if _note is not None:
        note = {"coordinator": coordinator, "process": process, "processes": processes}
        os.write(_note, json.dumps(note).encode() + b"\n")


def _watch(child: int, reader: int) -> int:
    """Waits for the child; returns the exit status."""
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _, status = os.waitpid(child, 0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the child is gone
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return code
    if -code == signal.SIGTERM:  # before the child had a handler
        say_nothing_unsaved()
        return EXIT_AGAIN
    with open(reader, "rb") as file:
        note: dict[str, Any] = json.loads(file.readline() or b"null") or {}
    if -code == signal.SIGABRT and note.get("process") and _is_gone(note["coordinator"]):
        print_error(
            f"Process {note['process']} of {note['processes']} was ended because the first process, at "
            f"{note['coordinator']}, is gone; see its log for why. "
            "Re-run the same command to resume from the last checkpoint."
        )
        return EXIT_AGAIN
    print_error(f"The training process was ended by {signal.Signals(-code).name}.")
    return 128 - code


def _is_gone(address: str, seconds: float = 5.0) -> bool:
    """Returns whether nothing listens there, or stops to within `seconds`: a dying process may still answer."""
    host, _, port = address.rpartition(":")
    last = time.monotonic() + seconds
    while time.monotonic() < last:
        try:
            socket.create_connection((host, int(port)), timeout=seconds).close()
        except OSError:
            return True
        time.sleep(0.2)
    return False


def is_one_of_several(arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Returns whether flags, a launcher or the host say that other processes train together with this one.

    >>> is_one_of_several(["--config.distributed.processes=2"], {})
    True
    >>> is_one_of_several([], {"SLURM_NTASKS": "4", "SLURM_STEP_NODELIST": "n1"})
    True
    """
    flags = [int(found[1]) for argument in arguments if (found := _FLAG.match(argument))]
    if flags and flags[-1]:
        return flags[-1] > 1
    for name in NUMBERS:
        if name.startswith("SLURM") and _SLURM_TASK not in environment:
            continue
        if environment.get(name, "1").isdigit() and int(environment.get(name, "1")) > 1:
            return True
    return is_tpu_host(environment)


def is_tpu_host(environment: Mapping[str, str]) -> bool:
    """Returns whether JAX may use TPU chips here: the machine may be one of several hosts, which JAX finds out."""
    if "tpu" not in (environment.get("JAX_PLATFORMS") or "tpu"):
        return False
    if importlib.util.find_spec("libtpu") is None:
        return False
    return any(Path("/dev").glob("accel[0-9]*")) or Path("/dev/vfio/0").exists()
