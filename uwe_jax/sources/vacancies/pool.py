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

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.progress import progress
from uwe_jax.sources.tables.problems import BrokenRows
from uwe_jax.sources.vacancies.job import ChunkDone, TaggingJob, run_chunk

# A process takes seconds to start and to read the names, so few chunks are tagged in this one.
_CHUNKS_PER_PROCESS = 4


def run_job(job: TaggingJob, processes: int = 0) -> ChunkDone:
    """Tags the remaining chunks; returns the counts of the whole job.

    Args:
      processes: 0 takes one per core, or one for few chunks; 1 works in this process.

    Raises:
      UserError: too many rows are broken, or a process was killed.
    """
    total, left = job.totals(), job.left()
    if not left:
        return total
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = processes or max(1, min(cores, len(left) // _CHUNKS_PER_PROCESS))
    here = (run_chunk(number, str(job.folder)) for number in left)
    results = here if wanted == 1 else _in_processes(job, left, min(wanted, len(left)))
    for broken in progress(results, label="tagging vacancies", unit="chunk", total=len(left)):
        total.broken.merge(broken)
        job.check(total.broken)
    return job.totals()


def _in_processes(job: TaggingJob, left: list[int], processes: int) -> Iterator[BrokenRows]:
    # Spawned: a fork of a process with threads, such as JAX's, may deadlock.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_end_with_parent)
    try:
        for future in as_completed([pool.submit(run_chunk, number, str(job.folder)) for number in left]):
            yield future.result()
    except BrokenProcessPool as error:
        raise UserError(
            f"One of {processes} tagging processes was killed, possibly for lack of memory. Finished chunks are kept: "
            "re-run the same command to resume, with fewer processes."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """Ends a process when its parent is killed, and leaves Ctrl-C to the parent, without a traceback of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
