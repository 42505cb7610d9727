"""Memory of the devices, ahead-of-time compilation of the train step, and a check that it fits.

The compiler's plan is exact on accelerators. On a CPU allocators differ and memory is shared, so a step is refused
there only if it cannot fit into all of the machine's memory.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax

from uwe_jax.config import BatchSettings
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.memory import gibibytes, process_peak
from uwe_jax.runtime.progress import duration

LOG = logging.getLogger(__name__)

_OUT_OF_MEMORY = ("RESOURCE_EXHAUSTED", "Ran out of memory in memory space hbm")  # in messages of XLA
_TIGHT = 0.9
_FIRST_CHUNK = 64
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
    most = process_peak()
    return {} if most is None else {"process_peak_bytes": most}


def knobs(batch: BatchSettings, devices: int) -> str:
    """Describes the settings that lower a step's memory, with values to try next."""
    chunk, size = batch.mini_batch_size, batch.global_batch_size
    smaller_chunk = chunk // 2 if chunk else min(_FIRST_CHUNK, size // devices // 2)
    smaller_batch = size // 2 // devices * devices
    options = []
    if smaller_chunk:
        options.append(
            f"--config.batch.mini_batch_size={smaller_chunk} (texts that a device encodes at once, now "
            f"{chunk or 'all'}: the same loss, one more forward pass)"
        )
    if smaller_batch >= 2:
        options.append(f"--config.batch.global_batch_size={smaller_batch} (now {size}: fewer negatives for each text)")
    if not options:
        return "A batch cannot be smaller on so many devices: use devices with more memory."
    return "What lowers it: " + ", or ".join(options) + "."


@contextlib.contextmanager
def memory_errors_as_sentence(batch: BatchSettings, what: str = "The step ran out of memory") -> Iterator[None]:
    """Turns an out-of-memory error of JAX into a UserError that begins with `what` and names the settings to change."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if not any(sign in str(error) for sign in _OUT_OF_MEMORY):
            raise
        there = room()
        of = f" (of {gibibytes(there.total)} per device)" if there else ""
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"{what}{of}: {reason} {knobs(batch, jax.device_count())}") from error


class CompiledStep:
    """A train step that is compiled before it runs and refused if it cannot fit into memory.

    Called like the step itself. Batches of other shapes, such as one that takes more rows than usual or homogeneous
    batches of several sources, are compiled when they first occur.

    Args:
      step: a parallel function (state replicated over devices, batch split over devices) -> (state, metrics).
      batch: settings for error messages.
      copies: of the state that are kept beside the one that the step takes.
    """

    def __init__(self, step: Callable[[Any, Any], Any], batch: BatchSettings, *, copies: int = 0):
        self._step: Any = step
        self._settings = batch
        self._copies = copies
        self._seen: set[Any] = set()
        self._new_facts: dict[str, float] = {}

    def __call__(self, state: Any, batch: Any) -> Any:
        self.prepare(state, batch)
        with memory_errors_as_sentence(self._settings):
            return self._step(state, batch)

    def prepare(self, state: Any, batch: Any) -> None:
        """Compiles the step for batches of this shape, unless done already, and reports its memory; runs nothing.

        Raises UserError if it cannot fit, by its plan or by the compiler's own error.
        """
        leaves, structure = jax.tree.flatten(batch)
        shapes = structure, tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves)
        if shapes not in self._seen:
            self._compile(state, batch)
            self._seen.add(shapes)

    def _compile(self, state: Any, batch: Any) -> None:
        started = time.perf_counter()
        with memory_errors_as_sentence(self._settings, "The compiler cannot fit the step into memory"):
            # Not kept: called with these arguments, the step finds this program in JAX's own cache, which also knows
            # how arguments are spread over several processes.
            plan = planned(self._step.lower(state, batch).compile())
        seconds = time.perf_counter() - started
        self._new_facts["compile_seconds"] = self._new_facts.get("compile_seconds", 0.0) + seconds
        took = f"Compiled the step in {f'{seconds:.1f} s' if seconds < 10 else duration(seconds)}"
        if plan is None:
            LOG.debug(f"{took}; the compiler does not report its memory.")
            return
        copies = self._copies * sum(leaf.nbytes // leaf.shape[0] for leaf in jax.tree.leaves(state))
        need = plan.total + copies
        self._new_facts["planned_bytes"] = max(need, self._new_facts.get("planned_bytes", 0))
        parts = [f"{gibibytes(plan.arguments)} of arguments", f"{gibibytes(plan.temporary)} of temporaries"]
        parts += [f"{gibibytes(copies)} for a copy of the state"] * bool(copies)
        needs = f"needs {gibibytes(need)} per device ({' + '.join(parts)})"
        there = room()
        if there is None:
            LOG.debug(f"{took}; it {needs}; the device does not report its memory.")
            return
        advice = knobs(self._settings, jax.device_count())
        if need > there.total:
            raise UserError(f"The step does not fit: it {needs}, but a device has {_described(there)}. {advice}")
        LOG.info(f"{took}; it {needs}; a device has {_described(there)}.")
        left = there.free + plan.arguments  # the state, the largest of the arguments, is in memory already
        if need > _TIGHT * left:
            LOG.warning(
                f"Warning: that is {need / left:.0%} of the {gibibytes(left)} that are free; the step may run out of "
                f"memory. {advice}"
            )

    def facts(self) -> dict[str, float]:
        """Returns numbers for a line of metrics.jsonl: peak memory, and once the time and memory of compilation."""
        new, self._new_facts = self._new_facts, {}
        return {**new, **peak()}


def _described(there: Room) -> str:
    devices = jax.local_device_count()
    share = f", its share of this machine's {gibibytes(there.total * devices)}"
    return gibibytes(there.total) + (share if there.is_host and devices > 1 else "")
