"""Peak memory of a piece of work: of JAX's accelerators, or of the process's resident set."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

METHODS = {
    "host": (
        "growth of the process's resident set: VmHWM of /proc/self/status, reset through /proc/self/clear_refs, less "
        "VmRSS, in a separate run after a warm-up, with freed memory returned to the system before"
    ),
    "device": (
        "growth of device.memory_stats()['peak_bytes_in_use'] over bytes_in_use in the contender's first run, on the "
        "first device; where an earlier contender's peak was not exceeded, that peak is an upper bound (≤)"
    ),
    "cuda": "torch.cuda.max_memory_allocated less memory_allocated, in a separate run",
}


# JSON values: `bytes` that a piece of work needed on top of those in use before, and whether they are an upper `bound`.
# None where they cannot be measured.
Peak = dict[str, Any] | None


def peak_of(work: Callable[[], object], *, warm: bool = False) -> Peak:
    """Runs `work` and returns its peak; see `METHODS`.

    On the host it runs once before, unless it is `warm`, so that compilation does not count.
    """
    device = jax.local_devices()[0]
    if before := device.memory_stats():
        work()
        after = device.memory_stats()
        if "peak_bytes_in_use" not in after:
            return None
        grown = after["peak_bytes_in_use"] - before["bytes_in_use"]
        return {"bytes": int(grown), "bound": after["peak_bytes_in_use"] == before["peak_bytes_in_use"]}
    if not warm:
        work()
    return host_peak(work)


def host_peak(work: Callable[[], object]) -> Peak:
    """Returns the growth of the resident set while `work` runs once; None where the system has no resettable peak."""
    gc.collect()
    # Memory that an earlier contender freed would serve this one and not be counted.
    if pyarrow := sys.modules.get("pyarrow"):
        pyarrow.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc
    if trim is not None:
        trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak to the current resident set
        before = _status("VmRSS")
        work()
        return {"bytes": max(0, _status("VmHWM") - before), "bound": False}
    except (OSError, KeyError):
        work()
        return None


def _status(name: str) -> int:
    """Reads a field of the process's status, in bytes."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields[name].split()[0]) * 1024
