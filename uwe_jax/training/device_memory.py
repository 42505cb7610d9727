"""How much memory there is, how much a compiled program will take, and how much was taken at the peak."""

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
# Limit and use of a control group: version 2, then version 1.
_GROUP_FILES = (
    ("memory.max", "memory.current"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes"),
)


class Room(NamedTuple):
    """Bytes for each local device: in all, and of them not in use. On a CPU a device has its share of the machine's."""

    total: int
    free: int
    is_host: bool


class Plan(NamedTuple):
    """Bytes that a compiled program takes on each device: its arguments, what it adds, and both together."""

    arguments: int
    temporary: int

    @property
    def total(self) -> int:
        """All of it at once."""
        return self.arguments + self.temporary


def planned(compiled: Any) -> Plan | None:
    """What the compiler planned for a program (`jax.stages.Compiled`); None where the backend does not tell."""
    sizes = compiled.memory_analysis()
    if sizes is None:
        return None
    new_results = sizes.output_size_in_bytes - sizes.alias_size_in_bytes
    return Plan(int(sizes.argument_size_in_bytes), int(new_results + sizes.temp_size_in_bytes))


def room() -> Room | None:
    """Memory of the local device that has least of it; None where nothing tells."""
    devices = jax.local_devices()
    stats = [device.memory_stats() or {} for device in devices]
    if all("bytes_limit" in each for each in stats):
        total, in_use = min((each["bytes_limit"], each.get("bytes_in_use", 0)) for each in stats)
        return Room(int(total), int(total - in_use), is_host=False)
    if devices[0].platform != "cpu":
        return None
    host = host_memory()
    return host and Room(host[0] // len(devices), host[1] // len(devices), is_host=True)


def host_memory() -> tuple[int, int] | None:
    """Bytes that this process may use at most, swap included, and those of them that are free.

    The tightest of the machine and of the control groups that the process runs in, as containers and Slurm set them.
    None where the system does not tell.
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
    """(limit, use) of every control group of this process that limits memory."""
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
    """Peak memory so far under the name it has in metrics.jsonl: of the fullest local device, else of the process.

    Empty where neither can tell.
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
    """Bytes as a person reads them.

    >>> gibibytes(45 * 2**30), gibibytes(3.21 * 2**30), gibibytes(2**19)
    ('45.0 GiB', '3.2 GiB', '0.5 MiB')
    """
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 / 10 else f"{size / 2**20:.1f} MiB"
