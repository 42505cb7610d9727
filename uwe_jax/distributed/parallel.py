"""The only room with `pmap`, `shard_map` and collectives.

Arrays given to a parallel function carry a leading axis of this process's devices: `replicate` and `shard_rows` make
it, `first` removes it again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import Array, Float

from uwe_jax.scoring.losses import RowSum

AXIS = "devices"
T = TypeVar("T")
# Compiled programs that are kept of those that `program` makes. One is some megabytes.
_KEPT = 128


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
      devices: all devices of all processes, unless given; for work that processes do independently see
        `on_own_devices`.
    """
    return jax.pmap(function, axis_name=AXIS, donate_argnums=donate, in_axes=in_axes, devices=devices)


def on_own_devices(function: Callable, whole: Sequence[bool]) -> Callable:
    """Compiles `function` to run on the devices of this process, for work that processes do independently.

    Unlike what `parallel` compiles, which jax.pmap keeps for ever, the program is freed with the last reference to it.

    Args:
      function: of a slice of each argument's leading axis, without that axis.
      whole: for each argument, whether every device gets it whole instead.
    """
    mesh = _on_own_device().mesh
    specs = tuple(jax.sharding.PartitionSpec() if each else jax.sharding.PartitionSpec(AXIS) for each in whole)

    def on_one(*args: Any) -> Any:
        own = (
            arg if each else jax.tree.map(lambda leaf: leaf.squeeze(0), arg)
            for arg, each in zip(args, whole, strict=True)
        )
        return jax.tree.map(lambda leaf: leaf[None], function(*own))

    out = jax.sharding.PartitionSpec(AXIS)
    mapped = jax.shard_map(on_one, mesh=mesh, in_specs=specs, out_specs=out, check_vma=False)
    held = tuple(jax.sharding.NamedSharding(mesh, spec) for spec in specs)
    compiled = jax.jit(mapped, in_shardings=held)
    if jax.process_count() == 1:
        return compiled
    # Among several processes jit splits no array of the host, though all devices are its own.
    return lambda *args: compiled(*jax.device_put(args, held))


def program(make: Callable[..., Callable], *static: Hashable) -> Callable:
    """A function that is compiled for each shape of its arguments; programs beyond those used last are freed.

    Args:
      make: gives the function, anew at each call, by `jax.jit` or `on_own_devices`.
      static: arguments of `make`.
    """

    def call(*args: Any) -> Any:
        leaves, tree = jax.tree.flatten(args)
        return _program(make, static, tree, tuple((leaf.shape, leaf.dtype) for leaf in leaves))(*args)

    return call


@functools.lru_cache(maxsize=_KEPT)
def _program(make: Callable[..., Callable], static: tuple, tree: Hashable, shapes: tuple) -> Callable:
    del tree, shapes  # a function of its own for each, so that each can be freed
    return make(*static)


def replicate(tree: T) -> T:
    """Copies a tree to every local device: each leaf [...] becomes [devices, ...]."""
    devices = jax.local_device_count()
    if jax.process_count() == 1 and all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(tree)):
        # Without a program, which would take longer than the copies. Never the memory of the caller, whose arrays may
        # change, and which could not be donated.
        slices = jax.tree.map(lambda leaf: np.broadcast_to(leaf, (devices, *leaf.shape)), tree)
        return jax.device_put(slices, _on_own_device(), may_alias=False)
    return parallel(lambda _, whole: whole, in_axes=(0, None))(np.zeros(devices), tree)


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
    """Puts each leaf [devices, ...] onto the local devices, a slice on each.

    On a CPU that may be the memory of the leaf itself, which must not change any more.
    """
    return jax.device_put(tree, _on_own_device())


def _on_own_device() -> jax.sharding.NamedSharding:
    """How a parallel function of the local devices holds its arguments."""
    mesh = jax.sharding.Mesh(np.array(jax.local_devices()), (AXIS,))
    return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(AXIS))


def first(tree: T) -> T:
    """The first local device's copy of a replicated tree.

    What that device holds is taken as it is: indexing the whole array would be a program of all local devices, with a
    sum over them for every leaf.
    """
    return jax.tree.map(lambda leaf: leaf.addressable_data(0)[0], tree)


def spread(tree: Any) -> Any:
    """Host arrays, equal in every process, as global arrays of which each process holds a copy on one device.

    What is written from them is written by all processes, a share by each.
    """
    by_process = {device.process_index: device for device in reversed(jax.devices())}
    mesh = jax.sharding.Mesh(np.array([by_process[process] for process in sorted(by_process)]), ("processes",))
    whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    return jax.tree.map(lambda leaf: jax.make_array_from_process_local_data(whole, leaf, leaf.shape), tree)


def of_all_processes(value: int) -> list[int]:
    """Every process's value, in the order of processes. All of them must call it, and wait for each other in it."""
    return np.asarray(multihost_utils.process_allgather(np.array(value))).reshape(-1).tolist()


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
