"""Memory: how much there is, how much a compiled program needs, and the peak so far."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax

_MEMINFO = Path("/proc/meminfo")
_CONTROL_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")
# Limit and usage of a control group: version 2, then version 1.
_GROUP_FILES = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))


class Room(NamedTuple):
    """Bytes for each local device: in all, and not in use. A CPU device has its share of the machine's memory."""

    total: int
    free: int
    is_host: bool


class Plan(NamedTuple):
    """Bytes that a compiled program needs on each device: for its arguments, and in addition."""

    arguments: int
    temporary: int

    @property
    def total(self) -> int:
        """Bytes for both."""
        return self.arguments + self.temporary


def planned(compiled: Any) -> Plan | None:
    """Returns the compiler's plan for a program (`jax.stages.Compiled`); None if the backend has none."""
    sizes = compiled.memory_analysis()
    if sizes is None:
        return None
    new_results = sizes.output_size_in_bytes - sizes.alias_size_in_bytes
    return Plan(int(sizes.argument_size_in_bytes), int(new_results + sizes.temp_size_in_bytes))


def room() -> Room | None:
    """Returns the memory of the local device with the least of it; None if unknown."""
    devices = jax.local_devices()
    stats = [device.memory_stats() or {} for device in devices]
    if all("bytes_limit" in each for each in stats):
        total, in_use = min((each["bytes_limit"], each.get("bytes_in_use", 0)) for each in stats)
        return Room(int(total), int(total - in_use), is_host=False)
    host = host_memory() if devices[0].platform == "cpu" else None
    return host and Room(host[0] // len(devices), host[1] // len(devices), is_host=True)


def host_memory() -> tuple[int, int] | None:
    """Returns the bytes that this process may use, swap included, and how many of them are free; None if unknown.

    The tightest limit counts: that of the machine, or of the control groups that containers and Slurm set.
    """
    try:
        fields = dict(re.findall(r"^(\w+): +(\d+) kB$", _MEMINFO.read_text(), re.MULTILINE))
        total = 1024 * (int(fields["MemTotal"]) + int(fields["SwapTotal"]))
        free = 1024 * (int(fields["MemAvailable"]) + int(fields["SwapFree"]))
    except (OSError, KeyError):
        try:
            total = free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, OSError, ValueError):
            return None
    for limit, used in _group_limits():
        total, free = min(total, limit), min(free, limit - used)
    return total, free


def _group_limits() -> Iterator[tuple[int, int]]:
    """Yields (limit, usage) of every control group of this process that limits memory."""
    try:
        lines = _OWN_GROUPS.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        top = _CONTROL_GROUPS / controllers
        own = top / path.lstrip("/")
        for folder in [own, *own.parents]:
            for names in _GROUP_FILES:
                try:
                    limit, used = ((folder / name).read_text().strip() for name in names)
                except OSError:
                    continue
                if limit != "max":
                    yield int(limit), int(used)
            if folder == top:
                break


def peak() -> dict[str, int]:
    """Returns the peak memory so far, by its name in metrics.jsonl: of the fullest local device, else of the process.

    Empty if neither is known.
    """
    peaks = [(device.memory_stats() or {}).get("peak_bytes_in_use") for device in jax.local_devices()]
    if all(peaks):
        return {"device_peak_bytes": max(int(each or 0) for each in peaks)}
    try:
        import resource
    except ImportError:  # Windows
        return {}
    unit = 1 if sys.platform == "darwin" else 1024
    return {"process_peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}


def gibibytes(size: float) -> str:
    """Formats bytes for people.

    >>> gibibytes(45 * 2**30), gibibytes(3.21 * 2**30), gibibytes(2**19)
    ('45.0 GiB', '3.2 GiB', '0.5 MiB')
    """
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 / 10 else f"{size / 2**20:.1f} MiB"
