"""The only room with `pmap` and collectives: moving to `shard_map` later touches this file alone.

Arrays given to a parallel function carry a leading axis of this process's devices: `replicate` and `shard_rows` make
it, `first` removes it again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from uwe_jax.scoring.losses import RowSum

AXIS = "devices"
T = TypeVar("T")


def parallel(
    function: Callable,
    *,
    donate: tuple[int, ...] = (),
    in_axes: Any = 0,
    devices: Sequence[jax.Device] | None = None,
) -> Callable:
    """Compiles `function` to run on every device on its slice of the leading axis.

    Args:
      function: may use the collectives below.
      donate: positions of the arguments whose memory the result may take over.
      in_axes: as in `jax.pmap`: None for an argument that every device gets whole.
      devices: all devices of all processes, unless given: `jax.local_devices()` for work that processes do
        independently.
    """
    return jax.pmap(function, axis_name=AXIS, donate_argnums=donate, in_axes=in_axes, devices=devices)


def replicate(tree: T) -> T:
    """Copies a tree to every local device: each leaf [...] becomes [devices, ...]."""
    return parallel(lambda _, whole: whole, in_axes=(0, None))(np.zeros(jax.local_device_count()), tree)


def shard_rows(tree: T) -> T:
    """Splits rows over the local devices: each leaf [rows, ...] becomes [devices, rows / devices, ...].

    Raises:
      ValueError: the rows do not divide; callers check settings before they come here.
    """
    devices = jax.local_device_count()

    def split(leaf: Any) -> Any:
        if leaf.shape[0] % devices:
            raise ValueError(f"{leaf.shape[0]} rows cannot be split over {devices} devices.")
        return leaf.reshape(devices, leaf.shape[0] // devices, *leaf.shape[1:])

    return jax.tree.map(split, tree)


def place(tree: Any) -> Any:
    """Puts each leaf [devices, ...] onto the local devices, a slice on each."""
    return _identity(tuple(jax.local_devices()))(tree)


@functools.cache
def _identity(devices: tuple[jax.Device, ...]) -> Callable:
    """Kept, since a new function would be compiled anew for shapes that were placed before."""
    return parallel(lambda own: own, devices=devices)


def first(tree: T) -> T:
    """The first local device's copy of a replicated tree."""
    return jax.tree.map(lambda leaf: leaf[0], tree)


def device_index() -> Array:
    """Inside a parallel function: which of all devices this is."""
    return jax.lax.axis_index(AXIS)


def gather(tree: T) -> T:
    """Inside a parallel function: rows of all devices, in device order, WITH gradients to where they came from."""
    return jax.tree.map(lambda leaf: jax.lax.all_gather(leaf, AXIS, tiled=True), tree)


def exchange(matrix: Array) -> Array:
    """Inside a parallel function: transposes a matrix whose rows are spread over devices, with gradients.

    Each device holds its rows [rows / devices, columns] and gets its columns as rows, [columns / devices, rows].
    """
    return jax.lax.all_to_all(matrix, AXIS, split_axis=1, concat_axis=0, tiled=True).T


def mean_over_devices(tree: T) -> T:
    """Inside a parallel function: the mean over all devices, on every device."""
    return jax.lax.pmean(tree, AXIS)


def share_of_mean(over: RowSum) -> Float[Array, ""]:
    """Inside a parallel function: a value whose mean over devices is the mean over all counted rows.

    Losses and gradients of it can therefore be averaged over devices, whatever the rows each device counted.
    """
    devices = jax.lax.psum(1, AXIS)
    return over.total * devices / jnp.maximum(jax.lax.psum(over.rows, AXIS), 1.0)
