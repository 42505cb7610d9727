"""Runs the cells of a grid one after the other, and resumes where an earlier run stopped."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from uwe_jax.runtime.files import make_out
from uwe_jax.runtime.locks import exclusive
from uwe_jax.runtime.progress import duration
from uwe_jax.studies.cell import Cell, Stage
from uwe_jax.studies.process import describe_status, ending_on_signals, last_lines, run_logged
from uwe_jax.studies.summary import DONE, FAILED, Outcome, read_scores

LOG = logging.getLogger(__name__)
_LINES_SHOWN = 12


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
    with ending_on_signals():
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
            status = run_logged(stage.command, cell.log, environment, inherit=(lock,), watch=watch)
        took = time.perf_counter() - started
        if status != 0 or not cell.has_product(stage):
            ending = describe_status(status) if status else f"exit status 0, but there is no {stage.product}"
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
    shown = last_lines(cell.log, start, _LINES_SHOWN)
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
            said = last_lines(cell.log, start, 1)
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
