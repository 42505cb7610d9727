"""Writing of checkpoints with Orbax, which only this module and `checkpoint_reader` use.

A checkpoint holds the training state and a `meta` object (step, config, graph fingerprints, metrics so far, and
checksums of the state and of each of its parts). The newest one and the best one by validation MAP are kept. Saving is
asynchronous; an unfinished checkpoint is never read. Of several processes each writes its share and reads the whole, so
that a run can resume on any number of them.
"""

from __future__ import annotations

import contextlib
import logging
import math
import shutil
import time
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
    Restored,
    checksum,
    checksums_of_parts,
    replace_json,
    with_checksum,
)
from uwe_jax.runtime.disk_errors import reason_not_written, remedy
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.progress import data_size
from uwe_jax.runtime.remote import is_remote, move
from uwe_jax.training.step_log import WHAT_HELPS

LOG = logging.getLogger(__name__)
_DAMAGED = "damaged_checkpoints"  # beside the folder of checkpoints
_BEST = preservation_policy.BestN(
    get_metric_fn=lambda metrics: metrics[METRIC], n=1, keep_checkpoints_without_metrics=False
)


class Checkpoints(CheckpointReader):
    """The checkpoints of one folder, which is created when the first one is saved."""

    _options = {
        "preservation_policy": preservation_policy.AnyPreservationPolicy([preservation_policy.LatestN(2), _BEST]),
        "enable_async_checkpointing": True,
        "cleanup_tmp_directories": True,  # left by a killed run, they take the space of a checkpoint
    }

    def save(self, step: int, state: Any, meta: dict[str, Any], validation_map: float | None) -> None:
        """Starts saving one copy of the state and JSON values in the background, after so many steps.

        The best checkpoint is chosen by `validation_map`, None without a validation; a checkpoint of this step that was
        saved before its validation is completed. Raises UserError if the validation MAP is not finite, or the disk is
        full or cannot be written, for this save or the one before it.
        """
        if validation_map is not None and not math.isfinite(validation_map):
            # Orbax would rank it as the best one, or delete the best one in favour of it.
            raise UserError(
                f"The validation MAP of step {step} is {validation_map}, which is not a finite number, so nothing is "
                f"saved. {self.describe()} {WHAT_HELPS}"
            )
        self.wait()  # as the manager would: a save in progress takes space
        host = jax.tree.map(np.asarray, state)
        need = sum(leaf.nbytes for leaf in jax.tree.leaves(host))
        free = self._free()
        if free < need * 1.1:
            raise self._not_saved(f"{data_size(free)} are free, a checkpoint needs {data_size(need * 1.1)}")
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
        """Replaces all but the state. If the checkpoint were saved again, a kill could leave neither."""
        if jax.process_index() == 0:
            # The meta object says that it was validated, so it comes last.
            if metrics is not None:
                replace_json(self.folder / str(step) / METRICS / METRICS, metrics)
            replace_json(self.folder / str(step) / META / META_FILE, meta)
        parallel.of_all_processes(step)  # a barrier: none of them reads before it is written
        self._manager.reload()

    def _free(self) -> float:
        if is_remote(str(self.folder)):
            return float("inf")
        return shutil.disk_usage(next(p for p in (self.folder, *self.folder.parents) if p.exists())).free

    def wait(self) -> None:
        """Waits for the save in progress; raises UserError if it could not be written."""
        with self._writing():
            self._manager.wait_until_finished()

    def describe(self) -> str:
        """Waits for the save in progress and returns a sentence on the checkpoint from which a run can resume."""
        with contextlib.suppress(Exception):  # a failed save shows in the steps that exist
            self._manager.wait_until_finished()
        if not self.steps():
            return f"No checkpoint was saved yet in {self.folder}."
        return f"The last good checkpoint in {self.folder} is that of step {self.steps()[0]}."

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Turns disk errors into a UserError."""
        try:
            yield
        except Exception as error:
            reason = reason_not_written(error)
            if reason is None:
                raise
            raise self._not_saved(reason) from error

    def _not_saved(self, reason: str) -> UserError:
        return UserError(
            f"Cannot save a checkpoint: {reason}. {self.describe()} {remedy(reason)}, and re-run the same "
            "command to resume."
        )

    def restore(self, template: Any) -> Restored | None:
        """Reads the newest intact checkpoint, of the template's shapes and dtypes; damaged ones are reported.

        Returns None if there is no checkpoint; raises UserError if there are some, but none can be read.
        """
        failures = []
        for step in self.steps():
            restored, failure = self._read_by_all(template, step)
            if restored:
                return restored
            failures.append(failure)
            LOG.warning(f"{failure} Trying the previous one.")
        if not failures:
            return None
        raise UserError(
            f"No checkpoint in {self.folder} can be read: {' '.join(failures)} Restore the folder from a copy, or "
            "start over with another --config.workdir."
        )

    def read_best(self, template: Any, current: int) -> Restored | None:
        """Reads the intact checkpoint with the highest validation MAP; damaged ones are reported and quarantined.

        Returns None if it is that of step `current`, whose state the caller has, or none can be read.
        """
        while (best := self.best_step()) not in (None, current):
            restored, failure = self._read_by_all(template, best)
            if restored:
                return restored
            LOG.warning(f"{failure} It was the best one; the next best is used.")
            self._quarantine([best])
        return None

    def _read_by_all(self, template: Any, step: int) -> tuple[Restored | None, str]:
        """Reads a checkpoint, or returns the reason why not; all processes must be able to read it."""
        failure = ""
        try:
            restored = self.read(template, step)
        except UserError as error:
            restored, failure = None, str(error)
        unread = [process for process, read in enumerate(parallel.of_all_processes(restored is not None)) if not read]
        if not unread:
            return restored, ""
        return None, failure or f"Process {unread[0]} cannot read the checkpoint of step {step}."

    def quarantine_after(self, step: int) -> None:
        """Moves checkpoints newer than `step`, which could not be read, so that new ones can take their place."""
        self._quarantine([newer for newer in self.steps() if newer > step])

    def _quarantine(self, steps: list[int]) -> None:
        """Moves checkpoints out of their folder. All processes call it, and the first one moves."""
        for step in steps if jax.process_index() == 0 else ():
            aside = self.folder.with_name(_DAMAGED) / f"{step}-{time.time_ns()}"
            if is_remote(str(self.folder)):
                move(str(self.folder / str(step)), str(aside))
            else:
                aside.parent.mkdir(exist_ok=True)
                (self.folder / str(step)).rename(aside)
            LOG.warning(f"Moved the checkpoint of step {step} to {aside}.")
        parallel.of_all_processes(len(steps))  # a barrier: none of them reads before they are moved
        self._manager.reload()

    def close(self) -> None:
        """Waits for the save in progress and ends the threads."""
        self.wait()
        super().close()
