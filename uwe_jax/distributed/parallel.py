"""The only module with `pmap`, `shard_map` and collectives.

Arrays given to a parallel function have a leading axis of this process's devices: `replicate` and `shard_rows` add it,
`first` removes it.
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
# Whether `parallel` is jax.pmap. Otherwise it is jit and shard_map, of which JAX makes pmap itself: the same values.
PMAP = True
T = TypeVar("T")
# Compiled programs, of some megabytes each, that `program` keeps.
_KEPT = 128


def parallel(
    function: Callable, *, donate: tuple[int, ...] = (), in_axes: Any = 0, devices: Sequence[jax.Device] | None = None
) -> Callable:
    """Compiles `function` to run on every device on its slice of the leading axis.

    Args:
      function: may use the collectives below.
      donate: positions of the arguments whose memory the result may reuse.
      in_axes: 0, or for each argument 0, or None if every device gets it whole.
      devices: by default all devices of all processes; see also `on_own_devices`.
    """
    if PMAP:
        return jax.pmap(function, axis_name=AXIS, donate_argnums=donate, in_axes=in_axes, devices=devices)
    compiled, held = _mapped(function, in_axes, jax.devices() if devices is None else devices, donate)
    if jax.process_count() == 1:
        return compiled
    specs = jax.tree.map(lambda sharding: sharding.spec, held)
    mesh = jax.tree.leaves(held)[0].mesh

    def global_arrays(args: tuple) -> tuple:
        return multihost_utils.host_local_array_to_global_array(args, mesh, specs)

    def call(*args: Any) -> Any:
        out = compiled(*global_arrays(args))
        return multihost_utils.global_array_to_host_local_array(out, mesh, jax.sharding.PartitionSpec(AXIS))

    call.lower = lambda *args: compiled.lower(*global_arrays(args))  # type: ignore[attr-defined]
    return call


def on_own_devices(function: Callable, whole: Sequence[bool]) -> Callable:
    """Compiles `function` to run on the devices of this process, for work that processes do independently.

    Unlike those of jax.pmap, which keeps them for ever, the program is freed with the last reference to it.

    Args:
      function: of a slice of each argument's leading axis, without that axis.
      whole: for each argument, true if every device gets it whole instead.
    """
    compiled, held = _mapped(function, tuple(None if each else 0 for each in whole), jax.local_devices())
    if jax.process_count() == 1:
        return compiled
    # With several processes jit does not split host arrays, even if all devices are local.
    return lambda *args: compiled(*jax.device_put(args, held))


def _mapped(
    function: Callable, in_axes: Any, devices: Sequence[jax.Device], donate: tuple[int, ...] = ()
) -> tuple[Any, Any]:
    """Compiles `function` as `parallel` does, without pmap; returns it with the shardings of its arguments."""
    mesh = jax.sharding.Mesh(np.array(devices), (AXIS,))
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(AXIS))
    whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    by_argument = isinstance(in_axes, tuple)
    held = tuple(whole if axis is None else split for axis in in_axes) if by_argument else split

    def on_one(*args: Any) -> Any:
        own = (
            arg if axis is None else jax.tree.map(lambda leaf: leaf.squeeze(0), arg)
            for arg, axis in zip(args, in_axes if by_argument else [0] * len(args), strict=True)
        )
        return jax.tree.map(lambda leaf: leaf[None], function(*own))

    specs = jax.tree.map(lambda sharding: sharding.spec, held)
    mapped = jax.shard_map(on_one, mesh=mesh, in_specs=specs, out_specs=split.spec, check_vma=False)
    return jax.jit(mapped, in_shardings=held, out_shardings=split, donate_argnums=donate), held


def program(make: Callable[..., Callable], *static: Hashable) -> Callable:
    """Compiles a function for each shape of its arguments; the least recently used programs are freed.

    Args:
      make: returns a new function at each call, from `jax.jit` or `on_own_devices`.
      static: arguments of `make`.
    """

    def call(*args: Any) -> Any:
        leaves, tree = jax.tree.flatten(args)
        return _program(make, static, tree, tuple((leaf.shape, leaf.dtype) for leaf in leaves))(*args)

    return call


@functools.lru_cache(maxsize=_KEPT)
def _program(make: Callable[..., Callable], static: tuple, tree: Hashable, shapes: tuple) -> Callable:
    del tree, shapes  # one function for each, so that each can be freed
    return make(*static)


def replicate(tree: T) -> T:
    """Copies a tree to every local device: each leaf [...] becomes [devices, ...]."""
    devices = jax.local_device_count()
    if jax.process_count() == 1 and all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(tree)):
        # Without a program, which would take longer than the copies. Never shares the caller's memory: its arrays may
        # change, and could not be donated.
        slices = jax.tree.map(lambda leaf: np.broadcast_to(leaf, (devices, *leaf.shape)), tree)
        return jax.device_put(slices, _on_own_device(), may_alias=False)
    return parallel(lambda _, whole: whole, in_axes=(0, None))(np.zeros(devices), tree)


def shard_rows(tree: T) -> T:
    """Splits rows over the local devices: each leaf [rows, ...] becomes [devices, rows / devices, ...]."""
    devices = jax.local_device_count()
    return jax.tree.map(lambda leaf: leaf.reshape(devices, leaf.shape[0] // devices, *leaf.shape[1:]), tree)


def place(tree: Any) -> Any:
    """Puts each leaf [devices, ...] onto the local devices; on a CPU it may share the leaf's memory."""
    return jax.device_put(tree, _on_own_device())


def _on_own_device() -> jax.sharding.NamedSharding:
    """Sharding of the leading axis over the local devices."""
    mesh = jax.sharding.Mesh(np.array(jax.local_devices()), (AXIS,))
    return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(AXIS))


def first(tree: T) -> T:
    """First local device's copy of a replicated tree."""
    # Indexing the whole array would be a program of all local devices, with a sum over them for every leaf.
    return jax.tree.map(lambda leaf: leaf.addressable_data(0)[0], tree)


def spread(tree: Any) -> Any:
    """Makes host arrays, equal in every process, global arrays with a copy on one device per process.

    Each process then writes a part of them.
    """
    by_process = {device.process_index: device for device in reversed(jax.devices())}
    mesh = jax.sharding.Mesh(np.array([by_process[process] for process in sorted(by_process)]), ("processes",))
    whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    return jax.tree.map(lambda leaf: jax.make_array_from_process_local_data(whole, leaf, leaf.shape), tree)


def of_all_processes(value: int) -> list[int]:
    """Gathers every process's value, in the order of processes; a barrier, which all processes must call."""
    return np.asarray(multihost_utils.process_allgather(np.array(value))).reshape(-1).tolist()


def sum_over_processes(own: np.ndarray) -> np.ndarray:
    """Adds the arrays of all processes, int32 of one shape; a barrier, which all processes must call."""
    return own if jax.process_count() == 1 else np.asarray(multihost_utils.process_allgather(own)).sum(0)


def fill_from_processes(rows: np.ndarray, owner: np.ndarray) -> None:
    """Fills in the rows [n, d] that other processes have: row i is that of process owner[i], int [n].

    d times the size of an element must be a multiple of 4 bytes. A barrier, which all processes must call.
    """
    held = [owner == process for process in range(jax.process_count())]
    own = rows[held[jax.process_index()]].view(np.int32)  # collectives take few dtypes everywhere
    padded = np.zeros((max(map(np.count_nonzero, held)), own.shape[1]), np.int32)
    padded[: len(own)] = own
    for here, part in zip(held, np.asarray(multihost_utils.process_allgather(padded)), strict=True):
        rows[here] = part[: np.count_nonzero(here)].view(rows.dtype)


def device_index() -> Array:
    """Inside a parallel function: index of this device among all devices."""
    return jax.lax.axis_index(AXIS)


def gather(tree: T) -> T:
    """Inside a parallel function: rows of all devices, in device order; gradients flow back to their devices."""
    return jax.tree.map(lambda leaf: jax.lax.all_gather(leaf, AXIS, tiled=True), tree)


def exchange(matrix: Array) -> Array:
    """Inside a parallel function: transposes a matrix whose rows are spread over devices, with gradients.

    From [rows / devices, columns] to [columns / devices, rows] per device.
    """
    return jax.lax.all_to_all(matrix, AXIS, split_axis=1, concat_axis=0, tiled=True).T


def mean_over_devices(tree: T) -> T:
    """Inside a parallel function: the mean over all devices, on every device."""
    return jax.lax.pmean(tree, AXIS)


def share_of_mean(over: RowSum) -> Float[Array, ""]:
    """Inside a parallel function: a value whose mean over devices is the mean over all counted rows.

    Losses and their gradients can thus be averaged over devices with different numbers of counted rows.
    """
    devices = jax.lax.psum(1, AXIS)
    return over.total * devices / jnp.maximum(jax.lax.psum(over.rows, AXIS), 1.0)
