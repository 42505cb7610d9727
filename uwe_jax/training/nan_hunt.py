"""`--config.nan_hunt`: dumps a step whose loss is not finite, and names its first operation that produces a NaN."""

from __future__ import annotations

import logging
import math
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import uwe_jax
from uwe_jax.config import Config
from uwe_jax.distributed import parallel
from uwe_jax.models.uwe import Params, UweModel
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import write_json
from uwe_jax.runtime.memory import gibibytes
from uwe_jax.training.step import Metrics, batch_gradient, dropout_key
from uwe_jax.training.step_log import WHAT_HELPS

LOG = logging.getLogger(__name__)

_PACKAGE = Path(__file__).resolve().parents[1]
# Larger parameters are not dumped: the previous checkpoint leads to the same step.
_MOST_PARAMETER_BYTES = 512 * 2**20


class NanHunt:
    """A train step that is run again under `jax.debug_nans` when its loss or the norm of its gradient is not finite.

    Called like the step. It copies the state before each step, since the step donates its memory, and waits for its
    loss: it takes a second state in memory and is slower. `rows_at_once` is the step's; `folder` is for dumps, such as
    workdir/nan; `remedy` returns a sentence on checkpoints.
    """

    def __init__(
        self,
        step: Callable[[Any, Any], Any],
        config: Config,
        model: UweModel,
        rows_at_once: int,
        folder: Path,
        remedy: Callable[[], str],
    ):
        self._step, self._config, self._model, self._rows_at_once = step, config, model, rows_at_once
        self._folder, self._remedy = folder, remedy
        self._copy = parallel.parallel(lambda state: jax.tree.map(jnp.copy, state))
        self._announced = False

    def __call__(self, state: Any, batch: Any) -> Any:
        """Takes one step.

        Raises UserError if its loss or the norm of its gradient is not finite; the message says what was found.
        """
        before = self._copy(state)
        if not self._announced:
            self._announced = True
            size = sum(leaf.nbytes // leaf.shape[0] for leaf in jax.tree.leaves(before))
            LOG.info(f"NaN hunt: every step is waited for, and a copy of the state takes {gibibytes(size)} per device.")
        after, metrics = self._step(state, batch)
        values = {name: float(np.asarray(value)[0]) for name, value in metrics.items()}
        if math.isfinite(values["loss"]) and math.isfinite(values["gradient_norm"]):
            return after, metrics
        del after, state
        step = int(np.asarray(before.step)[0]) + 1
        title = f"Step {step} has loss {values['loss']} and gradient norm {values['gradient_norm']}"
        # Dumped before the search, which takes more memory than the step.
        dumped = self._dump(step, before.params, batch, values)
        LOG.warning(f"{title}. {dumped} Searching for the operation.")
        raise UserError(f"{title}. {self._origin(before, batch)} {dumped} {self._remedy()} {WHAT_HELPS}")

    def _dump(self, step: int, params: Params, batch: Any, values: dict[str, float]) -> str:
        """Writes the inputs of the step; returns a sentence on where."""
        folder = self._folder / f"step-{step}"
        params = jax.tree.map(np.asarray, parallel.first(params))
        if jax.process_count() > 1:
            folder = folder / f"process-{jax.process_index()}"
        about = {
            "version": uwe_jax.__version__,
            "step": step,
            "metrics": {name: str(value) for name, value in values.items()},
            "checkpoint": self._remedy(),
            "config": self._config.to_dict(),
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / "step.json", about)
            np.savez(folder / "batch.npz", **_by_path(batch))  # type: ignore[arg-type]  # of its keywords one is a flag
            if sum(leaf.nbytes for leaf in jax.tree.leaves(params)) <= _MOST_PARAMETER_BYTES:
                np.savez(folder / "params.npz", **_by_path(params))  # type: ignore[arg-type]
        except OSError as error:
            return f"The step could not be dumped into {folder} ({error})."
        return f"The step is dumped into {folder}."

    def _origin(self, before: Any, batch: Any) -> str:
        """Returns a sentence on the origin of the first NaN of the step, or on why it is unknown."""
        for name, leaf in _by_path(parallel.first(before.params)).items():
            if bad := int((~np.isfinite(leaf)).sum()):
                return f"Parameter {name} was not finite before it: {bad:,} of {leaf.size:,} values."
        if jax.process_count() > 1:
            return "The operation is searched for in runs of one process only."
        config = self._config

        def gradient(params: Params, batch: Any, number: Any) -> tuple[Params, Metrics]:
            key = dropout_key(self._model, config.seed, number)
            return batch_gradient(params, batch, self._model, config.loss, key, self._rows_at_once)

        try:
            with jax.debug_nans(True):
                jax.block_until_ready(parallel.parallel(gradient)(before.params, batch, before.step))
        except FloatingPointError as error:
            frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).is_relative_to(_PACKAGE)]
            place = f"uwe_jax/{Path(frames[-1].filename).relative_to(_PACKAGE)}, line {frames[-1].lineno}"
            return f"{str(error).partition(chr(10))[0].rstrip('.')}, called from {place}: {frames[-1].line}."
        except (MemoryError, jax.errors.JaxRuntimeError) as error:
            return f"The search for the operation failed: {' '.join(str(error).split())[:200]}"
        return "Computed again, its gradient has no NaN: a number overflows."


def _by_path(tree: Any) -> dict[str, np.ndarray]:
    """Returns leaves by their path, the names of arrays in an npz file."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf) for path, leaf in leaves}
