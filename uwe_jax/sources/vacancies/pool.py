"""Runs a tagging job on the cores of this machine."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.progress import progress
from uwe_jax.sources.tables.problems import BrokenRows
from uwe_jax.sources.vacancies.job import ChunkDone, TaggingJob, run_chunk

# A process takes seconds to start and to learn the names, so few chunks are done in this one.
_CHUNKS_PER_PROCESS = 4


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_job(job: TaggingJob, processes: int = 0) -> ChunkDone:
    """Does the chunks that are not done.

    Args:
      processes: 0 takes one per core, or one where there is little to do; 1 works in this process.

    Returns:
      The numbers of the whole job.

    Raises:
      UserError: too many rows are broken, or a process was ended from outside.
    """
    left = job.left()
    if not left:
        return job.totals()
    wanted = processes or max(1, min(cores(), len(left) // _CHUNKS_PER_PROCESS))
    broken = job.totals().broken
    bar = progress(
        _here(job, left) if wanted == 1 else _in_processes(job, left, min(wanted, len(left))),
        label="tagging vacancies",
        unit="chunk",
        total=len(left),
    )
    for done in bar:
        broken.merge(BrokenRows(**done["broken"]))
        job.check(broken)
    return job.totals()


def _here(job: TaggingJob, left: list[int]) -> Iterator[dict[str, Any]]:
    for number in left:
        yield run_chunk(number, str(job.folder))


def _in_processes(job: TaggingJob, left: list[int], processes: int) -> Iterator[dict[str, Any]]:
    # Not forked: this process may have threads, of JAX for one, that a copy would wait for.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_end_with_parent)
    try:
        for future in as_completed([pool.submit(run_chunk, number, str(job.folder)) for number in left]):
            yield future.result()
    except BrokenProcessPool as error:
        raise UserError(
            f"A process that tagged vacancies was ended from outside, as happens where memory runs out; there were "
            f"{processes}. What is done is kept: run the same command again, with fewer processes."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """A process whose parent was killed would wait for work for ever; one that hears Ctrl-C, which the parent answers,
    would show a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
