"""Peak memory of one piece of work, where it can be told: on JAX's accelerators, or in the process's resident set."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")

METHODS = {
    "host": (
        "growth of the process's resident set: VmHWM of /proc/self/status, reset through /proc/self/clear_refs, less "
        "VmRSS, in a run of its own after one to warm up, with freed memory given back to the system before"
    ),
    "device": (
        "growth of device.memory_stats()['peak_bytes_in_use'] over bytes_in_use in the contender's first run, on the "
        "first device; where an earlier contender's peak was not passed, that peak is an upper bound (≤)"
    ),
    "cuda": "torch.cuda.max_memory_allocated less memory_allocated, in a run of its own",
}


class Peak(NamedTuple):
    """Bytes that a piece of work needed on top of what was there before; None where nothing can tell.

    `bound` says that the work needed at most so much.
    """

    bytes: int | None
    bound: bool = False

    def to_dict(self) -> dict[str, Any] | None:
        """Plain values for a row."""
        return None if self.bytes is None else self._asdict()


def peak_of(work: Callable[[], object], *, warm: bool = False) -> Peak:
    """Runs `work` and returns what it needed at its peak; see `METHODS`.

    On the host it runs once before, unless it is `warm`, so that compiling does not count.
    """
    if jax.local_devices()[0].memory_stats():
        return _device_peak(work)
    if not warm:
        work()
    return host_peak(work)


def _device_peak(work: Callable[[], object]) -> Peak:
    device = jax.local_devices()[0]
    before = device.memory_stats()
    work()
    after = device.memory_stats()
    if "peak_bytes_in_use" not in after:
        return Peak(None)
    grown = after["peak_bytes_in_use"] - before["bytes_in_use"]
    return Peak(int(grown), bound=after["peak_bytes_in_use"] == before["peak_bytes_in_use"])


def host_peak(work: Callable[[], object]) -> Peak:
    """Growth of the resident set while `work` runs once; None where the system keeps no resettable peak."""
    gc.collect()
    _give_back_freed_memory()
    try:
        _CLEAR.write_text("5")  # resets the peak to what is resident now
        before = _status("VmRSS")
        work()
        return Peak(max(0, _status("VmHWM") - before))
    except (OSError, KeyError):
        work()
        return Peak(None)


def _status(name: str) -> int:
    """A field of the process's status, in bytes."""
    fields = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
    return int(fields[name].split()[0]) * 1024


def _give_back_freed_memory() -> None:
    """Without it, memory that an earlier contender freed would serve this one and not be counted."""
    if pyarrow := sys.modules.get("pyarrow"):
        pyarrow.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc
    if trim is not None:
        trim(0)
