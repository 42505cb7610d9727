"""Measures work: wall-clock times, alone, in turn and under load; peak memory; bare products to compare with."""

from __future__ import annotations

import ctypes
import gc
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from uwe_jax.distributed import parallel

T = TypeVar("T")


Spread = dict[str, Any]  # JSON values: seconds of the median, fastest (low) and slowest (high) run, and of all runs


def spread(runs: list[float]) -> Spread:
    """Summarises the seconds of runs.

    >>> spread([3.0, 1.0, 2.0])
    {'median': 2.0, 'low': 1.0, 'high': 3.0, 'runs': [3.0, 1.0, 2.0]}
    """
    return {"median": statistics.median(runs), "low": min(runs), "high": max(runs), "runs": runs}


def interleaved(
    contenders: Mapping[str, Callable[[], object]], runs: int, *, warmups: int = 1, settle: int = 0
) -> dict[str, Spread]:
    """Times contenders in turn, in changing order, so that other load on the machine affects all of them.

    Args:
      contenders: timed functions by name. Each returns only when its work is done, on the device as well.
      runs: of each that count.
      warmups: runs of each before all others, which do not count: compilation, caches, clocks.
      settle: runs that do not count before each that does. A contender that needs much memory has to find it in pieces
        after another's turn: on a CPU a train step took up to twice as long then as after one of its own.
    """
    for work in contenders.values():
        for _ in range(warmups):
            work()
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    for first in range(runs):
        for turn in range(len(order)):
            # Backwards every other time, so that the neighbours change as well.
            step = turn if first % 2 == 0 else -turn
            name = order[(first + step) % len(order)]
            for _ in range(settle):
                contenders[name]()
            started = time.perf_counter()
            contenders[name]()
            taken[name].append(time.perf_counter() - started)
    return {name: spread(seconds) for name, seconds in taken.items()}


def latencies(ask: Callable[[T], object], questions: Sequence[T], clients: int) -> tuple[list[float], float]:
    """Asks every question once from several threads, each of which asks its next as soon as it has its answer.

    Returns:
      Seconds of every answer, in the order of the questions, and of all of them together.
    """

    def seconds(question: T) -> float:
        started = time.perf_counter()
        ask(question)
        return time.perf_counter() - started

    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        taken = list(pool.map(seconds, questions))
    return taken, time.perf_counter() - started


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Returns the 50th, 90th and 99th percentile.

    >>> percentiles([0.1, 0.2, 0.3])["p50"]
    0.2
    """
    return {f"p{share}": float(np.percentile(seconds, share)) for share in (50, 90, 99)}


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


def bare_product(a: np.ndarray, b: np.ndarray, *, dtype: str) -> Callable[[], object]:
    """Prepares a b^T, of a [s, d] and b [r, d], for timing, with operands in `dtype` and result on the devices.

    Of several devices, each has a shard of the rows of b, and all of a. The precision is full float32, as in scoring;
    accelerators use fewer bits by default.
    """

    def multiply(a: jax.Array, b: jax.Array) -> jax.Array:
        highest = jax.lax.Precision.HIGHEST
        return jnp.einsum("sd,rd->sr", a, b, precision=highest, preferred_element_type=jnp.float32)

    devices = jax.local_device_count()
    if devices == 1:
        operands: tuple[Any, ...] = jnp.asarray(a, dtype), jnp.asarray(b, dtype)
        compiled: Callable = jax.jit(multiply)
    else:
        filled = np.zeros((-(-len(b) // devices) * devices, b.shape[1]), b.dtype)
        filled[: len(b)] = b
        placed = parallel.replicate(a), parallel.place(parallel.shard_rows(filled))
        operands = tuple(operand.astype(dtype) for operand in placed)
        compiled = parallel.on_own_devices(multiply, (False, False))
    return lambda: jax.block_until_ready(compiled(*operands))


def chained_products(
    tokens: int, width: int, inner: int, pairs: int, *, dtype: str
) -> tuple[Callable[[], object], int]:
    """Prepares a chain of products x W1 W2 W1 W2 ... for timing, as in feed-forward blocks, each needing the last.

    x [tokens, width] is sharded over the devices by rows; W1 is [width, inner], W2 [inner, width].

    Returns:
      The function to time, and its operations.
    """
    rng = np.random.default_rng(0)
    # So scaled, x keeps its size along the chain.
    up = rng.standard_normal((width, inner), np.float32) / np.float32(np.sqrt(width))
    down = rng.standard_normal((inner, width), np.float32) / np.float32(np.sqrt(inner))
    x = rng.standard_normal((tokens, width), np.float32)

    def chain(x: jax.Array, up: jax.Array, down: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, pairs, lambda _, x: (x @ up) @ down, x)

    placed = parallel.place(parallel.shard_rows(x)), parallel.replicate(up), parallel.replicate(down)
    operands = tuple(operand.astype(dtype) for operand in placed)
    compiled = parallel.on_own_devices(chain, (False, False, False))
    return lambda: jax.block_until_ready(compiled(*operands)), pairs * 4 * tokens * width * inner


def dispatch_seconds() -> float:
    """Measures the median time from the call of a program that does nothing to its result: a floor for all others."""
    nothing = jax.jit(lambda x: x + 1)
    one = jnp.zeros(())
    return interleaved({"": lambda: jax.block_until_ready(nothing(one))}, 21)[""]["median"]
