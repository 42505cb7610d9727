"""Checkpoints read back: of one folder, by step, whole or a part of them, and checked against their checksums."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from uwe_jax.models.checksums import checksum, without_checksum
from uwe_jax.models.storage import reading
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.json_file import parse_json
from uwe_jax.runtime.remote import is_remote

METRIC = "validation_map"  # in the meta object, and in the item by which Orbax knows it
STATE, META = "state", "meta"
METRICS, META_FILE = "metrics", "metadata"  # Orbax's names of an item, and of the file that holds a JSON item
PARTS = "checksums"  # in the meta object, by part of the state


@dataclasses.dataclass(frozen=True)
class Restored:
    """A checkpoint read back: the step it was taken after, the state as host arrays, and its meta object."""

    step: int
    state: Any
    meta: dict[str, Any]


def _on_one_device(template: Any) -> Any:
    """What to restore in the place of arrays of these shapes and dtypes."""
    one_device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=one_device), template)


class Manager(ocp.CheckpointManager):
    """Orbax's, as all of this project open it."""

    def metrics(self, step: int) -> dict[str, float] | None:
        """The validation MAP of a checkpoint, by which Orbax finds the best one and deletes others.

        By the meta object, which has a checksum. The item that Orbax keeps has none: it is asked only where the meta
        object is damaged, so that the loss of a best checkpoint is noticed when that is read.
        """
        read = self._json(step, META, META_FILE)
        if read and (meta := without_checksum(read)):
            validation = meta.get("validation")
            value = meta.get(METRIC, validation.get("macro_map") if isinstance(validation, dict) else None)
        else:
            value = self._json(step, METRICS, METRICS).get(METRIC)
        return {METRIC: float(value)} if isinstance(value, int | float) and math.isfinite(value) else None

    def _json(self, step: int, item: str, file: str) -> dict[str, Any]:
        """The object in a file of a checkpoint; an empty one where there is none that can be read."""
        try:
            found = parse_json((self.directory / str(step) / item / file).read_bytes(), file, "")
        except (OSError, UserError):
            return {}
        return found if isinstance(found, dict) else {}

    def reached_preemption(self, step: int) -> bool:
        """No. Asking JAX, as Orbax does, would move the count by which processes agree where to stop."""
        return False


def _reader_alone(folder: Path | epath.Path) -> ocp.CheckpointManager:
    """Reads without waiting for the other processes: they would wait for ever for one that cannot read its copy."""
    process = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=process, active_processes={process}, barrier_sync_key_prefix=f"process_{process}"
    )
    return Manager(folder, options=ocp.CheckpointManagerOptions(read_only=True, multiprocessing_options=alone))


class CheckpointReader:
    """The finished checkpoints of one folder, where it never writes.

    Not even to clear away what a killed run left, or what another one is saving just now.

    Args:
      folder: of the checkpoints.
    """

    def __init__(self, folder: Path | epath.Path):
        # The URL of a bucket is absolute as it is.
        self.folder = folder if is_remote(str(folder)) else folder.absolute()
        self._manager = self._open()
        self._reader = self._manager if jax.process_count() == 1 else _reader_alone(self.folder)

    def _open(self) -> ocp.CheckpointManager:
        return Manager(
            self.folder,
            options=ocp.CheckpointManagerOptions(read_only=True, best_fn=lambda metrics: metrics[METRIC]),
        )

    def steps(self) -> list[int]:
        """Steps of the finished checkpoints, the newest first."""
        return sorted(self._manager.all_steps(), reverse=True)

    def best_step(self) -> int | None:
        """Step of the kept checkpoint with the highest validation MAP; None where none was validated."""
        return self._manager.best_step()

    def read(self, template: Any, step: int) -> Restored:
        """Reads the checkpoint of one step; see `restore`.

        Raises:
          UserError: it cannot be read, or its bytes are not those that were saved.
        """
        items = {STATE: ocp.args.StandardRestore(_on_one_device(template)), META: ocp.args.JsonRestore()}
        with reading(step):
            read = self._reader.restore(step, args=ocp.args.Composite(**items))
        state, meta = jax.tree.map(np.asarray, read[STATE]), self._checked_meta(step, read[META])
        self._check(step, state, meta.get("checksum"))
        return Restored(step, state, meta)

    def read_meta(self, step: int) -> dict[str, Any]:
        """The meta object of one step's checkpoint.

        Raises:
          UserError: it cannot be read, or is not what was saved.
        """
        with reading(step):
            read = self._reader.restore(step, args=ocp.args.Composite(**{META: ocp.args.JsonRestore()}))
        return self._checked_meta(step, read[META])

    def read_part(self, part: str, template: Any, step: int) -> Any:
        """Reads one part of the state, such as params, and nothing else of it: the optimiser takes twice their room.

        Args:
          part: a field of the state.
          template: that part, of the shapes and dtypes to read.

        Returns:
          Host arrays.

        Raises:
          UserError: it cannot be read, or its bytes are not those that were saved.
        """
        target = {part: _on_one_device(template)}
        restore_args = ocp.checkpoint_utils.construct_restore_args(target)
        # A reader of its own: the manager reads a state whole once it has read or saved one so.
        with reading(step), ocp.PyTreeCheckpointer() as reader:
            read = reader.restore(
                self.folder / str(step) / STATE,
                args=ocp.args.PyTreeRestore(target, restore_args=restore_args, partial_restore=True),
            )
        leaves = jax.tree.leaves(read[part])
        # Orbax leaves the template standing where nothing was saved.
        missing = sum(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in leaves)
        if missing:
            raise UserError(
                f"The checkpoint of step {step} lacks {missing} of the {len(leaves)} arrays of its {part}: it is of "
                "another model."
            )
        found = jax.tree.map(np.asarray, read[part])
        saved = self.read_meta(step).get(PARTS)
        if saved is not None:  # checkpoints from before parts had checksums can still be read
            self._check(step, found, saved.get(part))
        return found

    def _checked_meta(self, step: int, read: Any) -> dict[str, Any]:
        meta = without_checksum(read) if isinstance(read, dict) else None
        if meta is None:
            raise UserError(f"The checkpoint of step {step} is damaged: its meta object is not the one that was saved.")
        return meta

    def _check(self, step: int, state: Any, saved: int | None) -> None:
        if checksum(state) != saved:
            raise UserError(f"The checkpoint of step {step} is damaged: its bytes differ from those that were saved.")

    def close(self) -> None:
        """Lets go of threads."""
        for manager in {self._manager, self._reader}:
            manager.close()
