"""Runs the cells of a grid one after the other, and resumes where an earlier run stopped."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tqdm import tqdm

from uwe_jax.runtime.files import make_out
from uwe_jax.runtime.locks import exclusive
from uwe_jax.runtime.progress import duration
from uwe_jax.studies.cell import Cell, Stage
from uwe_jax.studies.summary import DONE, FAILED, Outcome, read_scores

LOG = logging.getLogger(__name__)
_LINES_SHOWN = 12
# Signals that ask a child to end, with the seconds that it has to do so.
_ENDINGS = ((signal.SIGINT, 30.0), (signal.SIGTERM, 10.0))
_TAIL_BYTES = 1 << 16


def seconds_left(cells: Sequence[Cell], first: int = 0) -> float | None:
    """Estimates the seconds of the remaining stages by the mean of finished ones; None if none of a kind is finished.

    Cells before `first` will not be run.
    """
    known: dict[str, list[float]] = {}
    for cell in cells:
        for name, entry in cell.record().items():
            if entry["done"]:
                known.setdefault(name, []).append(entry["seconds"])
    left = [stage.name for cell in cells[first:] for stage in cell.remaining()]
    if any(name not in known for name in left):
        return None
    return sum(sum(known[name]) / len(known[name]) for name in left)


def run_grid(cells: Sequence[Cell], out: Path, lock: int, *, discard_checkpoints: bool = False) -> Iterator[Outcome]:
    """Runs the remaining stages of every cell, each in a separate process, and yields the outcomes in their order.

    A failed cell is reported at once, and the others still run, unless it is `needed`. All share compiled programs
    in the folder `compiled` of `out`, or JAX_COMPILATION_CACHE_DIR.

    Args:
      lock: on the grid's folder `out`, from `locked`.
      discard_checkpoints: remove the checkpoints of a cell when it is done.
    """
    environment = {
        "JAX_COMPILATION_CACHE_DIR": str((out / "compiled").absolute()),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "1",
        "PYTHONUNBUFFERED": "1",
        "TQDM_DISABLE": "1",  # bars would fill the log
        **os.environ,
    }
    with _ending_on_signals():
        for place, cell in enumerate(cells):
            try:
                outcome = _run_cell(cells, place, environment, lock)
            finally:
                if discard_checkpoints and not cell.remaining():
                    shutil.rmtree(cell.folder / "training" / "checkpoints", ignore_errors=True)
            yield outcome
            if outcome.status == FAILED and cell.needed:
                LOG.warning(f"All the others need what {cell.title} failed in: they are not run.")
                return


def _run_cell(cells: Sequence[Cell], place: int, environment: dict[str, str], lock: int) -> Outcome:
    cell = cells[place]
    label = f"[{place + 1}/{len(cells)}] {cell.title}"
    stages = cell.remaining()
    if not stages:
        LOG.info(f"{label}: done before.")
    elif len(stages) < len(cell.stages):
        LOG.info(f"{label}: {cell.stages[-len(stages) - 1].name} was done before.")
    cell.folder.mkdir(parents=True, exist_ok=True)
    for stage in stages:
        left = seconds_left(cells, place)
        LOG.info(f"{label}: {stage.name}" + ("." if left is None else f"; about {duration(left)} left for all."))
        cell.note(stage, done=False, seconds=0.0)
        start = cell.log.stat().st_size if cell.log.exists() else 0
        started = time.perf_counter()
        with _live_line(cell, f"{label}: {stage.name}", start) as watch:
            status = _run_logged(stage.command, cell.log, environment, lock, watch)
        took = time.perf_counter() - started
        if status != 0 or not cell.has_product(stage):
            ending = _describe_status(status) if status else f"exit status 0, but there is no {stage.product}"
            return _failed(cell, stage, label, f"{ending}, after {duration(took)}", start)
        cell.note(stage, done=True, seconds=took)
        LOG.info(f"{label}: {stage.name} took {duration(took)}.")
    try:
        return Outcome(DONE, read_scores(cell.folder))
    except ValueError as error:
        cell.note(cell.stages[-1], done=False, seconds=0.0)
        LOG.warning(f"{label}: failed. {error}")
        return Outcome(FAILED, reason=str(error))


def _failed(cell: Cell, stage: Stage, label: str, ending: str, start: int) -> Outcome:
    shown = _last_lines(cell.log, start, _LINES_SHOWN)
    LOG.warning(
        "\n".join(
            [f"{label}: FAILED in its {stage.name} ({ending}). The end of {cell.log}:", *(f"    {s}" for s in shown)]
        )
    )
    sentence = next((line for line in reversed(shown) if line.startswith("Error: ")), "")
    return Outcome(FAILED, reason=f"{stage.name}: {ending}. {sentence}".rstrip())


@contextmanager
def _live_line(cell: Cell, label: str, start: int) -> Iterator[Callable[[], None]]:
    """Shows in a terminal one line with the time that a stage has run and the last line of its log."""
    began = time.perf_counter()
    with tqdm(bar_format="{desc}", leave=False, disable=None) as line:

        def watch() -> None:
            said = _last_lines(cell.log, start, 1)
            width = max(40, shutil.get_terminal_size().columns - 1)
            text = f"{label}, {duration(time.perf_counter() - began)}: {said[0] if said else ''}"
            line.set_description_str(text[:width])

        yield watch


@contextmanager
def locked(out: Path) -> Iterator[int]:
    """Creates and locks the folder of a grid.

    Yields:
      A file descriptor. A child that inherits it keeps the lock, even if this process is killed before it.

    Raises:
      UserError: the folder cannot be written, or another process has the lock.
    """
    make_out(out)
    advice = "end it and the processes that it started, or name another folder with --out"
    with exclusive(out / ".lock", f"working in {out}", advice=advice) as file:
        yield file


def _run_logged(
    command: Sequence[str], log: Path, environment: dict[str, str], lock: int, watch: Callable[[], None]
) -> int:
    """Runs a command to its end, with both outputs appended to `log`.

    Runs in the main thread. The child has a session of its own: Ctrl-C reaches only this process, which asks the child
    to end, once, and kills it if it does not.

    Args:
      lock: a file descriptor that stays open in the child.
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
                env=environment,
                pass_fds=(lock,),
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
def _ending_on_signals() -> Iterator[None]:
    """Lets SIGTERM and a closed terminal end this process like Ctrl-C does, so that it ends its child first."""

    def stop(number: int, _: object) -> None:
        sys.exit(128 + number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _last_lines(log: Path, start: int, count: int) -> list[str]:
    """Reads the last `count` lines with text after byte `start` of a log; redrawn progress bars count as lines."""
    if not log.exists():
        return []
    with log.open("rb") as file:
        file.seek(max(start, log.stat().st_size - _TAIL_BYTES))
        text = file.read().decode(errors="replace")
    lines = [line.rstrip() for line in text.replace("\r", "\n").split("\n")]
    return [line for line in lines if line][-count:]


def _describe_status(status: int) -> str:
    """Describes the exit status of a process.

    >>> _describe_status(2), _describe_status(-15)
    ('exit status 2', 'ended by SIGTERM')
    """
    if status >= 0:
        return f"exit status {status}"
    if status == -signal.SIGKILL:
        return "ended by SIGKILL, probably because the machine ran out of memory"
    return f"ended by {signal.Signals(-status).name}"
