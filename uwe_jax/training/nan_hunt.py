"""`--config.nan_hunt`: when a loss or gradient is no number, finds out where in the step that began."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import uwe_jax
from uwe_jax.config import Config
from uwe_jax.data.tokeniser_file import TextReader
from uwe_jax.distributed import parallel
from uwe_jax.models.uwe import UweModel
from uwe_jax.runtime.errors import UserError
from uwe_jax.training import nan_report
from uwe_jax.training.device_memory import gibibytes
from uwe_jax.training.nan_pieces import SuspectStep, take_apart
from uwe_jax.training.nan_primitive import first_primitive
from uwe_jax.training.step_log import WHAT_HELPS

LOG = logging.getLogger(__name__)


class NanHunt:
    """A train step that is taken apart when its loss or the norm of its gradient is not finite.

    Called like the step. It copies the state before each step, since the step takes its memory over, and waits for its
    loss: a second state in memory, and slower than without.

    Args:
      step: the train step.
      config: of the run.
      model: that is trained.
      folder: for reports, such as workdir/nan. It may be an `epath.Path` of a bucket.
      tokeniser: opens the encoder's, to write texts out.
      remedy: what to say about checkpoints.
    """

    def __init__(
        self,
        step: Callable[[Any, Any], Any],
        config: Config,
        model: UweModel,
        folder: Path,
        tokeniser: Callable[[], TextReader],
        remedy: Callable[[], str],
    ):
        self._step = step
        self._config = config
        self._model = model
        self._folder = folder
        self._tokeniser = tokeniser
        self._remedy = remedy
        self._copy = parallel.parallel(lambda state: jax.tree.map(jnp.copy, state))
        self._told = False

    def __call__(self, state: Any, batch: Any) -> Any:
        """One step.

        Raises:
          UserError: its loss or the norm of its gradient is not finite; the sentence says what was found.
        """
        before = self._copy(state)
        if not self._told:
            self._told = True
            size = sum(leaf.nbytes // leaf.shape[0] for leaf in jax.tree.leaves(before))
            LOG.info(
                f"Hunting for NaN: every step is waited for, and a copy of the state takes {gibibytes(size)} a device."
            )
        after, metrics = self._step(state, batch)
        values = {name: float(np.asarray(value)[0]) for name, value in metrics.items()}
        if not (math.isfinite(values["loss"]) and math.isfinite(values["gradient_norm"])):
            del after, state
            raise self._found(before, batch, values)
        return after, metrics

    def _found(self, before: Any, batch: Any, values: dict[str, float]) -> UserError:
        config = self._config
        number = int(np.asarray(before.step)[0])
        step = SuspectStep(
            self._model, config.loss, before.params, number, batch, config.seed, config.batch.encode_chunk_size
        )
        title = f"Step {number + 1} has loss {values['loss']} and gradient norm {values['gradient_norm']}"
        LOG.warning(f"{title}: taking it apart.")
        folder = self._folder / f"step-{number + 1}"
        if jax.process_count() > 1:
            folder = folder / f"process-{jax.process_index()}"
        # Before anything else: what follows may itself run out of memory or be killed.
        trouble = ""
        try:
            files = nan_report.write_inputs(folder, step)
        except OSError as error:
            files, trouble = [], f" Its inputs could not be written ({error})."
        pieces, embeddings = take_apart(step)
        texts = nan_report.TextsOf(batch, self._tokeniser().vocabulary())
        culprit = nan_report.sentence(pieces, texts)
        about = {
            "version": uwe_jax.__version__,
            "step": number + 1,
            "next_batch": number,
            "metrics": {name: str(value) for name, value in values.items()},
            "culprit": culprit,
            "checkpoint": self._remedy(),
            "inputs": files,
            "process": [jax.process_index(), jax.process_count()],
            "local_devices": jax.local_device_count(),
            "config": config.to_dict(),
        }
        report = f"{nan_report.table(pieces, texts, title)}\n\n{culprit}"

        def write(primitive: str) -> str:
            try:
                text = f"{report}\n{primitive}\n\n{_replay(number, files)} {self._remedy()}"
                nan_report.write_report(folder, text, pieces, {**about, "primitive": primitive})
            except OSError as error:
                LOG.warning(report)
                return f"No report could be written to {folder} ({error})."
            return f"Report, and what replays the step: {folder}."

        # Written before the search for the primitive, which takes more memory than the step.
        where = write("The search for the primitive did not end.")
        primitive = ""
        found = nan_report.first_culprit(pieces)
        if found is not None:
            LOG.warning(f"{culprit} Looking for the primitive, operation by operation.")
            primitive = first_primitive(step, found[0], embeddings)
            where = write(primitive)
        told = " ".join(part for part in (culprit, primitive, where) if part)
        return UserError(f"{title}. {told}{trouble} {self._remedy()} {WHAT_HELPS}")


def _replay(number: int, files: list[str]) -> str:
    inputs = " and ".join(files) if files else "nothing"
    lacking = "" if "params.npz" in files else ", from the parameters of the checkpoint before"
    return (
        f"Beside this file lie {inputs}, inputs of step {number + 1}: the step is a function of parameters, batch, "
        f"step number {number} and seed. The same command with --config.nan_hunt=True comes to it again{lacking}."
    )
