"""Bare matrix products that benchmarks compare with, and the time of a program without any."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from uwe_jax.distributed import parallel
from uwe_jax.studies.benchmarks.timing import interleaved


def bare_product(a: np.ndarray, b: np.ndarray, *, dtype: str, exact: bool = False) -> Callable[[], object]:
    """Prepares a b^T for timing, with operands and result on the devices.

    Of several devices, each has a shard of the rows of b, and all of a.

    Args:
      a: [s, d].
      b: [r, d].
      dtype: of the operands; the result is float32.
      exact: multiply in full float32 precision, as scoring does; accelerators use fewer bits by default.
    """
    precision = jax.lax.Precision.HIGHEST if exact else None

    def multiply(a: jax.Array, b: jax.Array) -> jax.Array:
        return jnp.einsum("sd,rd->sr", a, b, precision=precision, preferred_element_type=jnp.float32)

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
