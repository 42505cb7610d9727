"""The train step compiled ahead: how long that took, what it needs, and whether that is there.

The compiler's plan is exact on accelerators. On a CPU allocators differ and memory is shared, so a step is refused
there only where it cannot fit into all that the machine has.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax

from uwe_jax.config import BatchSettings
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.progress import duration
from uwe_jax.training.device_memory import Room, gibibytes, peak, planned, room

LOG = logging.getLogger(__name__)

# What compilers and allocators of XLA say where memory is short; any other error keeps its name.
_OUT_OF_MEMORY = ("RESOURCE_EXHAUSTED", "Ran out of memory in memory space hbm")
_TIGHT = 0.9
_FIRST_CHUNK = 64


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of JAX means that memory was short."""
    return isinstance(error, jax.errors.JaxRuntimeError) and any(sign in str(error) for sign in _OUT_OF_MEMORY)


def knobs(batch: BatchSettings, devices: int) -> str:
    """The settings that lower a step's memory, with values to try next."""
    chunk, size = batch.encode_chunk_size, batch.global_batch_size
    smaller_chunk = chunk // 2 if chunk else min(_FIRST_CHUNK, size // devices // 2)
    smaller_batch = size // 2 // devices * devices
    options = []
    if smaller_chunk:
        options.append(
            f"--config.batch.encode_chunk_size={smaller_chunk} (texts that a device encodes at once, now "
            f"{chunk or 'all'}: the same loss, one more forward pass)"
        )
    if smaller_batch >= 2:
        options.append(f"--config.batch.global_batch_size={smaller_batch} (now {size}: fewer negatives for each text)")
    if not options:
        return "A batch cannot be smaller on so many devices: take devices with more memory."
    return "What lowers it: " + ", or ".join(options) + "."


@contextlib.contextmanager
def memory_errors_as_sentence(batch: BatchSettings, what: str = "The step ran out of memory") -> Iterator[None]:
    """Turns an error of JAX that means too little memory into a UserError that names the knobs.

    Args:
      batch: present settings.
      what: start of the sentence.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if not is_out_of_memory(error):
            raise
        there = room()
        of = f" (of {gibibytes(there.total)} a device)" if there else ""
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"{what}{of}: {reason} {knobs(batch, jax.device_count())}") from error


class CompiledStep:
    """A train step that is compiled before it runs and refused where it cannot fit.

    Called like the step itself. Batches of other shapes, such as those of parts that are drawn apart, are compiled when
    they first come.

    Args:
      step: a parallel function (state, batch) -> (state, metrics), not called yet.
      batch: settings to name where memory is short.
      copies: of the state that are kept beside the one that the step takes.
    """

    def __init__(self, step: Callable[[Any, Any], Any], batch: BatchSettings, *, copies: int = 0):
        self._step: Any = step
        self._settings = batch
        self._copies = copies
        self._seen: set[Any] = set()
        self._to_tell: dict[str, float] = {}

    def __call__(self, state: Any, batch: Any) -> Any:
        self.prepare(state, batch)
        with memory_errors_as_sentence(self._settings):
            return self._step(state, batch)

    def prepare(self, state: Any, batch: Any) -> None:
        """Compiles the step for batches of this shape, unless it is, and says what it needs; runs nothing.

        Args:
          state: replicated over devices, as it will be given to the step.
          batch: split over devices; its values do not matter.

        Raises:
          UserError: it cannot fit, by its plan or by the compiler's own word.
        """
        leaves, structure = jax.tree.flatten(batch)
        shapes = structure, tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves)
        if shapes not in self._seen:
            self._compile(state, batch)
            self._seen.add(shapes)

    def _compile(self, state: Any, batch: Any) -> None:
        started = time.perf_counter()
        with memory_errors_as_sentence(self._settings, "The compiler finds no way to fit the step into memory"):
            # Not kept: called with these arguments, the step finds this program in JAX's own cache, which also knows
            # how arguments are spread over several processes.
            plan = planned(self._step.lower(state, batch).compile())
        seconds = time.perf_counter() - started
        self._to_tell["compile_seconds"] = self._to_tell.get("compile_seconds", 0.0) + seconds
        took = f"Compiled the step in {f'{seconds:.1f} s' if seconds < 10 else duration(seconds)}"
        if plan is None:
            LOG.debug(f"{took}; what it needs the compiler does not tell.")
            return
        copies = self._copies * sum(leaf.nbytes // leaf.shape[0] for leaf in jax.tree.leaves(state))
        need = plan.total + copies
        self._to_tell["planned_bytes"] = max(need, self._to_tell.get("planned_bytes", 0))
        parts = [f"{gibibytes(plan.arguments)} of arguments", f"{gibibytes(plan.temporary)} of temporaries"]
        parts += [f"{gibibytes(copies)} for a copy of the state"] * bool(copies)
        needs = f"needs {gibibytes(need)} a device ({' + '.join(parts)})"
        there = room()
        if there is None:
            LOG.debug(f"{took}; it {needs}; the device does not tell how much it has.")
            return
        if need > there.total:
            raise UserError(
                f"The step does not fit: it {needs}, but a device has {_told(there)}. "
                f"{knobs(self._settings, jax.device_count())}"
            )
        LOG.info(f"{took}; it {needs}; a device has {_told(there)}.")
        # The state, the largest of the arguments, is there already.
        left = there.free + plan.arguments
        if need > _TIGHT * left:
            LOG.warning(
                f"Warning: that is {need / left:.0%} of the {gibibytes(left)} that other work leaves; the step may run "
                f"out of memory. {knobs(self._settings, jax.device_count())}"
            )

    def facts(self) -> dict[str, float]:
        """What a line of metrics.jsonl says of the step: peak memory, and once what compiling took and planned."""
        told, self._to_tell = self._to_tell, {}
        return {**told, **peak()}


def _told(there: Room) -> str:
    devices = jax.local_device_count()
    share = f", its share of this machine's {gibibytes(there.total * devices)}"
    return gibibytes(there.total) + (share if there.is_host and devices > 1 else "")
