"""Reading of checkpoints, whole or in part, with verification of their checksums."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import write_atomically
from uwe_jax.runtime.json_file import parse_json
from uwe_jax.runtime.process_state import quiet
from uwe_jax.runtime.remote import is_remote, library_paths

METRIC = "validation_map"  # key of the meta object and of Orbax's metrics item
STATE, META = "state", "meta"
METRICS, META_FILE = "metrics", "metadata"  # Orbax's names of an item, and of the file that holds a JSON item
PARTS = "checksums"  # key of the meta object: checksums by part of the state
_META_CHECKSUM = "meta_checksum"  # key of a meta object: checksum of all its other keys


class Restored(NamedTuple):
    """Checkpoint in host memory."""

    step: int
    state: Any
    meta: dict[str, Any]


def checksum(state: Any) -> int:
    """CRC-32 over the bytes of all leaves: storage formats do not detect every flipped bit."""
    crc = 0
    for leaf in jax.tree.leaves(state):
        crc = zlib.crc32(np.ascontiguousarray(leaf).view(np.uint8).data, crc)
    return crc


def checksums_of_parts(state: Any) -> dict[str, int]:
    """Checksum of every field of a training state, or of every key of a dictionary."""
    return {name: checksum(part) for name, part in (state if isinstance(state, dict) else vars(state)).items()}


def with_checksum(meta: dict[str, Any]) -> dict[str, Any]:
    """Adds a checksum of its JSON to a meta object."""
    return {**meta, _META_CHECKSUM: zlib.crc32(json.dumps(meta, sort_keys=True).encode())}


def without_checksum(read: dict[str, Any]) -> dict[str, Any] | None:
    """Inverse of `with_checksum`; None where the checksum does not match. Older meta objects have none."""
    meta = {name: value for name, value in read.items() if name != _META_CHECKSUM}
    return meta if _META_CHECKSUM not in read or with_checksum(meta) == read else None


def replace_json(file: Path | epath.Path, value: dict[str, Any]) -> None:
    """Writes JSON atomically, to a disk or a bucket."""
    if is_remote(str(file)):
        file.write_text(json.dumps(value))
    else:
        write_atomically(Path(file), json.dumps(value).encode())


@contextlib.contextmanager
def narration_off() -> Iterator[None]:
    """Silences Orbax and the stores below it, which log every save and restore, unless uwe_jax logs at DEBUG."""
    verbose = logging.getLogger("uwe_jax").isEnabledFor(logging.DEBUG)
    with quiet(absl=logging.WARNING if verbose else logging.ERROR), library_paths():
        yield


@contextlib.contextmanager
def _reading(step: int) -> Iterator[None]:
    """Turns any error of the storage layers into a UserError."""
    try:
        yield
    except Exception as error:
        first_line = str(error).partition("\n")[0][:300]
        raise UserError(
            f"The checkpoint of step {step} cannot be read ({type(error).__name__}: {first_line})."
        ) from error


def _on_one_device(template: Any) -> Any:
    one_device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=one_device), template)


class Manager(ocp.CheckpointManager):
    """Orbax's manager, with validation metrics from the meta object."""

    def metrics(self, step: int) -> dict[str, float] | None:
        """Validation MAP of a checkpoint, by which Orbax finds the best one and deletes others.

        From the meta object, which has a checksum. Orbax's own item has none and is used only if the meta object is
        damaged, so that a damaged best checkpoint is noticed when it is read.
        """
        read = self._json(step, META, META_FILE)
        if read and (meta := without_checksum(read)):
            validation = meta.get("validation")
            value = meta.get(METRIC, validation.get("macro_map") if isinstance(validation, dict) else None)
        else:
            value = self._json(step, METRICS, METRICS).get(METRIC)
        return {METRIC: float(value)} if isinstance(value, int | float) and math.isfinite(value) else None

    def _json(self, step: int, item: str, file: str) -> dict[str, Any]:
        """JSON object in a file of a checkpoint; empty if it cannot be read."""
        try:
            found = parse_json((self.directory / str(step) / item / file).read_bytes(), file, "")
        except (OSError, UserError):
            return {}
        return found if isinstance(found, dict) else {}

    def reached_preemption(self, step: int) -> bool:
        """Returns False: asking JAX, as Orbax does, would advance the counter by which processes agree to stop."""
        return False


def _reader_alone(folder: Path | epath.Path) -> ocp.CheckpointManager:
    """Reads without barriers: other processes would wait for ever for one that cannot read its copy."""
    process = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=process, active_processes={process}, barrier_sync_key_prefix=f"process_{process}"
    )
    return Manager(folder, options=ocp.CheckpointManagerOptions(read_only=True, multiprocessing_options=alone))


class CheckpointReader:
    """Reads the finished checkpoints of a folder.

    It never writes there, not even to remove unfinished checkpoints, which another run may be saving.
    """

    _options: Mapping[str, Any] = {"read_only": True}  # of Orbax's manager

    def __init__(self, folder: Path | epath.Path):
        self.folder = folder if is_remote(str(folder)) else folder.absolute()
        options = ocp.CheckpointManagerOptions(best_fn=lambda metrics: metrics[METRIC], **self._options)
        self._manager = Manager(self.folder, options=options)
        self._reader = self._manager if jax.process_count() == 1 else _reader_alone(self.folder)

    def steps(self) -> list[int]:
        """Steps of the finished checkpoints, newest first."""
        return sorted(self._manager.all_steps(), reverse=True)

    def best_step(self) -> int | None:
        """Step with the highest validation MAP; None where none was validated."""
        return self._manager.best_step()

    def read(self, template: Any, step: int) -> Restored:
        """Reads the checkpoint of one step; raises UserError if it cannot be read, or its checksum differs."""
        items = {STATE: ocp.args.StandardRestore(_on_one_device(template)), META: ocp.args.JsonRestore()}
        with _reading(step):
            read = self._reader.restore(step, args=ocp.args.Composite(**items))
        state, meta = jax.tree.map(np.asarray, read[STATE]), self._checked_meta(step, read[META])
        self._check(step, state, meta.get("checksum"))
        return Restored(step, state, meta)

    def read_meta(self, step: int) -> dict[str, Any]:
        """Reads the meta object of one step; errors as in `read`."""
        with _reading(step):
            read = self._reader.restore(step, args=ocp.args.Composite(**{META: ocp.args.JsonRestore()}))
        return self._checked_meta(step, read[META])

    def read_part(self, part: str, template: Any, step: int) -> Any:
        """Reads one field of the state, such as params, without the optimiser's state, which is twice as large.

        `template` has its shapes and dtypes. Returns host arrays; errors as in `read`.
        """
        target = {part: _on_one_device(template)}
        restore_args = ocp.checkpoint_utils.construct_restore_args(target)
        # A separate reader: once the manager has read or saved a whole state, it cannot read a part.
        with _reading(step), ocp.PyTreeCheckpointer() as reader:
            read = reader.restore(
                self.folder / str(step) / STATE,
                args=ocp.args.PyTreeRestore(target, restore_args=restore_args, partial_restore=True),
            )
        leaves = jax.tree.leaves(read[part])
        # Orbax returns the template where nothing was saved.
        missing = sum(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in leaves)
        if missing:
            raise UserError(
                f"The checkpoint of step {step} lacks {missing} of the {len(leaves)} arrays of its {part}: it belongs "
                "to another model."
            )
        found = jax.tree.map(np.asarray, read[part])
        saved = self.read_meta(step).get(PARTS)
        if saved is not None:  # older checkpoints have no checksums of parts
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
        """Ends the managers' threads."""
        for manager in {self._manager, self._reader}:
            manager.close()
