"""`--config.profile`: a trace of a few steps on devices and host, to open in xprof or Perfetto."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import weakref
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax

from uwe_jax.runtime.progress import counted

LOG = logging.getLogger(__name__)

STEP = "train"  # the name of a step in the trace
_SHOWN = 8


class Operation(NamedTuple):
    """An operation of a compiled program: how often it ran, and its own time in seconds."""

    name: str
    runs: int
    seconds: float


class Trace:
    """Traces some steps of a run, from its second one: the first also allocates memory.

    The trace is closed and complete however the run ends. Of several processes each traces its own devices, into a
    subfolder of `folder`, which may be an `epath.Path` in a bucket. `first` counts the steps taken before this run,
    `steps` those to trace, and `wait` returns when the latest step has ended on the devices.
    """

    def __init__(self, folder: Path, first: int, steps: int, wait: Callable[[], object]):
        self._folder = folder / f"process-{jax.process_index()}" if jax.process_count() > 1 else folder
        self._traced = range(first + 1, first + 1 + steps)
        self._taken = 0
        self._wait = wait
        self._stop: weakref.finalize | None = None

    @contextlib.contextmanager
    def step(self, number: int) -> Iterator[None]:
        """Covers all work of a step, its batch included; `number` counts the steps taken before it."""
        if number not in self._traced:
            yield
            return
        if self._stop is None:
            self._wait()
            # A finalizer, so that it is stopped also where an error ends the run.
            self._stop = weakref.finalize(self, _start(self._folder))
        with jax.profiler.StepTraceAnnotation(STEP, step_num=number + 1):
            yield
            self._taken += 1
        if number == self._traced[-1]:
            self.close()

    def close(self) -> None:
        """Writes the trace, unless done already, and reports its folder and costliest operations."""
        if not self._traced:
            return
        if self._stop is None:
            LOG.warning(f"Nothing was traced: this run took no step after its first one, of step {self._traced[0]}.")
        elif self._stop.alive:
            self._wait()
            self._stop()
            LOG.info(
                f"Traced {counted(self._taken, 'step')} into {self._folder}. To view it: pip install "
                f"xprof && xprof --logdir={self._folder} --port=6006, then http://localhost:6006; or open "
                f"perfetto_trace.json.gz of {self._folder}/plugins/profile/ in https://ui.perfetto.dev"
            )
            table = costliest(operations(self._folder), self._taken)
            if table:
                LOG.info(table)
        self._traced = range(0)


def _start(folder: Path) -> Callable[[], None]:
    """Starts a trace; returns a function that stops and writes it."""
    if "://" not in str(folder):
        jax.profiler.start_trace(folder, create_perfetto_trace=True)
        return jax.profiler.stop_trace
    # The profiler writes to disks only.
    local = tempfile.TemporaryDirectory(prefix="uwe_jax_trace_")
    jax.profiler.start_trace(local.name, create_perfetto_trace=True)

    def stop() -> None:
        jax.profiler.stop_trace()
        with local:
            for path in (path for path in Path(local.name).rglob("*") if path.is_file()):
                target = folder / str(path.relative_to(local.name))
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())

    return stop


def operations(folder: Path) -> list[Operation]:
    """Returns the operations of the newest trace in a folder over all of its devices, the costliest first.

    Time inside a nested operation, such as the body of a loop, counts for the inner one only.
    """
    files = sorted(folder.glob("plugins/profile/*/*.xplane.pb"), key=str)
    if not files:
        return []
    runs: Counter[str] = Counter()
    seconds: dict[str, float] = defaultdict(float)
    data = jax.profiler.ProfileData.from_serialized_xspace(files[-1].read_bytes())
    for line in (line for plane in data.planes for line in plane.lines):
        for name, own in _own_times(_events(line)):
            runs[name] += 1
            seconds[name] += own * 1e-9
    found = [Operation(name, runs[name], own) for name, own in seconds.items()]
    return sorted(found, key=lambda operation: -operation.seconds)


def _events(line: Any) -> list[tuple[float, float, str]]:
    """Returns (start, end, name) of the operations of one line of a trace, in nanoseconds."""
    found = []
    for event in line.events:
        stats = dict(event.stats)
        if "hlo_op" in stats or line.name == "XLA Ops":
            # Accelerators record which line of the model an operation came from.
            name = str(stats.get("tf_op") or stats.get("hlo_op") or event.name)
            found.append((event.start_ns, event.start_ns + event.duration_ns, name))
    return found


def _own_times(events: list[tuple[float, float, str]]) -> list[tuple[str, float]]:
    """Returns names of events with their durations, less those of the events inside them."""
    own: list[tuple[str, float]] = []
    around: list[tuple[float, int]] = []  # ends and positions of the events that are open
    for start, end, name in sorted(events, key=lambda event: (event[0], -event[1])):
        while around and around[-1][0] <= start:
            around.pop()
        if around:
            outer, time = own[around[-1][1]]
            own[around[-1][1]] = outer, time - (min(end, around[-1][0]) - start)
        around.append((end, len(own)))
        own.append((name, end - start))
    return own


def costliest(found: list[Operation], steps: int) -> str:
    """Renders the first operations as a table, in time per step and as shares of the time of all."""
    total = sum(operation.seconds for operation in found)
    if not total:
        return ""
    lines = [
        f"  {operation.seconds / steps * 1e3:8.2f} ms per step  {operation.seconds / total:4.0%}  "
        f"{operation.runs / steps:6.0f} x  {operation.name[-40:]}"
        for operation in found[:_SHOWN]
    ]
    return "\n".join(["Costliest operations, by their own time on all devices of this process:", *lines])
