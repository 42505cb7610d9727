"""Checkpoints: written here, read back in `checkpoint_reader`; no other module knows Orbax.

A checkpoint holds the training state and a `meta` object (step, config, graph fingerprints, metrics so far, and
checksums of the state and of each of its parts). The newest one and the best one by validation MAP are kept. Saving
goes on in the background; a checkpoint that was not finished is never taken for whole. Of several processes each
writes its share and reads the whole, so that any other number of them can go on.
"""

from __future__ import annotations

import contextlib
import logging
import math
import shutil
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from uwe_jax.distributed import parallel
from uwe_jax.models.checkpoint_reader import (
    META,
    META_FILE,
    METRIC,
    METRICS,
    PARTS,
    STATE,
    CheckpointReader,
    Manager,
    Restored,
    checksum,
    checksums_of_parts,
    replace_json,
    with_checksum,
)
from uwe_jax.runtime.disk_errors import reason_not_written, remedy
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.remote import is_remote
from uwe_jax.training.damaged import set_aside
from uwe_jax.training.step_log import WHAT_HELPS

LOG = logging.getLogger(__name__)


class Checkpoints(CheckpointReader):
    """The checkpoints of one folder, which may be written.

    Args:
      folder: made when the first checkpoint is saved.
    """

    def _open(self) -> ocp.CheckpointManager:
        best = preservation_policy.BestN(
            get_metric_fn=lambda metrics: metrics[METRIC], n=1, keep_checkpoints_without_metrics=False
        )
        return Manager(
            self.folder,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=preservation_policy.AnyPreservationPolicy([preservation_policy.LatestN(2), best]),
                best_fn=lambda metrics: metrics[METRIC],
                enable_async_checkpointing=True,
                cleanup_tmp_directories=True,  # what a killed run left takes the room of a checkpoint
            ),
        )

    def save(self, step: int, state: Any, meta: dict[str, Any], validation_map: float | None) -> None:
        """Starts saving in the background.

        Args:
          step: steps taken. To a checkpoint of that step, saved in haste before its validation, what it lacks is added.
          state: one copy of the training state, not a replicated one.
          meta: JSON values.
          validation_map: what the best checkpoint is chosen by, where this one was validated.

        Raises:
          UserError: the validation MAP is not a finite number, or the disk has not enough room or may not be written,
            for this save or the one before it.
        """
        if validation_map is not None and not math.isfinite(validation_map):
            # Orbax would take it for the best one, or delete the best one over it.
            raise UserError(
                f"The validation MAP of step {step} is {validation_map}, which is not a finite number, so nothing is "
                f"saved. {self.describe()} {WHAT_HELPS}"
            )
        self.wait()  # as the manager would: what is being written takes room
        host = jax.tree.map(np.asarray, state)
        need = sum(leaf.nbytes for leaf in jax.tree.leaves(host))
        free = self._free()
        if free < need * 1.1:
            raise self._not_saved(f"{free / 2**20:.1f} MiB are free, a checkpoint needs {need * 1.1 / 2**20:.1f} MiB")
        metrics = None if validation_map is None else {METRIC: validation_map}
        own = {METRIC: validation_map, "checksum": checksum(host), PARTS: checksums_of_parts(host)}
        if jax.process_count() > 1:
            host = parallel.spread(host)
        meta = with_checksum({**meta, **own})
        with self._writing():
            if step in self._manager.all_steps():
                self._complete(step, meta, metrics)
                return
            self._manager.save(
                step,
                args=ocp.args.Composite(**{STATE: ocp.args.StandardSave(host), META: ocp.args.JsonSave(meta)}),
                metrics=metrics,
            )

    def _complete(self, step: int, meta: dict[str, Any], metrics: dict[str, float] | None) -> None:
        """Replaces all but the state. Were the checkpoint saved anew, a kill could leave neither."""
        if jax.process_index() == 0:
            # The meta object says that it was validated, so it comes last.
            if metrics is not None:
                replace_json(self.folder / str(step) / METRICS / METRICS, metrics)
            replace_json(self.folder / str(step) / META / META_FILE, meta)
        parallel.of_all_processes(step)  # none of them looks before it is there
        self._manager.reload()

    def _free(self) -> float:
        """Bytes that can be written; a bucket never fills up."""
        if is_remote(str(self.folder)):
            return float("inf")
        return shutil.disk_usage(next(p for p in (self.folder, *self.folder.parents) if p.exists())).free

    def wait(self) -> None:
        """Returns once the save in progress is whole on disk.

        Raises:
          UserError: it could not be written.
        """
        with self._writing():
            self._manager.wait_until_finished()

    def describe(self) -> str:
        """A sentence on which checkpoint a run can go on from, once the save in progress is over."""
        with contextlib.suppress(Exception):  # whether it failed shows in what there is
            self._manager.wait_until_finished()
        if not self.steps():
            return f"No checkpoint was saved yet in {self.folder}."
        return f"The last good checkpoint in {self.folder} is that of step {self.steps()[0]}."

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Turns what a disk answers inside into a UserError."""
        try:
            yield
        except Exception as error:
            reason = reason_not_written(error)
            if reason is None:
                raise
            raise self._not_saved(reason) from error

    def _not_saved(self, reason: str) -> UserError:
        return UserError(
            f"Cannot save a checkpoint: {reason}. {self.describe()} {remedy(reason)}, and the same command goes "
            "on from there."
        )

    def restore(self, template: Any) -> Restored | None:
        """Reads the newest checkpoint that is whole.

        One that cannot be read, or whose bytes are not those that were saved, is said aloud and passed over for the one
        before it.

        Args:
          template: a training state of the shapes and dtypes to read.

        Returns:
          None where the folder holds no checkpoint.

        Raises:
          UserError: there are checkpoints and none of them can be read.
        """
        failures = []
        for step in self.steps():
            restored, failure = self._read_by_all(template, step)
            if restored:
                return restored
            failures.append(failure)
            LOG.warning(f"{failure} Trying the one before it.")
        if not failures:
            return None
        raise UserError(
            f"No checkpoint in {self.folder} can be read: {' '.join(failures)} Restore the folder from a copy, or "
            "start over with another --config.workdir."
        )

    def read_best(self, template: Any, in_hand: int) -> Restored | None:
        """Reads the checkpoint with the highest validation MAP of those that are whole.

        One that cannot be read is said aloud and moved out of the way.

        Args:
          template: as of `restore`.
          in_hand: step of the state that the caller has.

        Returns:
          None where nothing better can be read than what is in hand.
        """
        while (best := self.best_step()) not in (None, in_hand):
            restored, failure = self._read_by_all(template, best)
            if restored:
                return restored
            LOG.warning(f"{failure} It was the best one; the next best takes its place.")
            self._set_aside([best])
        return None

    def _read_by_all(self, template: Any, step: int) -> tuple[Restored | None, str]:
        """The checkpoint of a step, or why it is not used: what one process cannot read, none of them goes on from."""
        failure = ""
        try:
            restored = self.read(template, step)
        except UserError as error:
            restored, failure = None, str(error)
        unread = [process for process, read in enumerate(parallel.of_all_processes(restored is not None)) if not read]
        if not unread:
            return restored, ""
        return None, failure or f"Process {unread[0]} cannot read the checkpoint of step {step}."

    def set_aside_after(self, step: int) -> None:
        """Moves checkpoints newer than `step`, which could not be read, out of the way of those to come."""
        self._set_aside([newer for newer in self.steps() if newer > step])

    def _set_aside(self, steps: list[int]) -> None:
        set_aside(self.folder, steps)
        self._manager.reload()

    def close(self) -> None:
        """Waits for the save in progress and lets go of threads."""
        self.wait()
        super().close()
