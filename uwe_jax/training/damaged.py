"""Checkpoints that cannot be read: moved out of the way of those to come, never deleted."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

import jax
from etils import epath

from uwe_jax.distributed import parallel
from uwe_jax.runtime.remote import is_remote, move

LOG = logging.getLogger(__name__)
FOLDER = "damaged_checkpoints"  # beside the folder of checkpoints


def set_aside(folder: Path | epath.Path, steps: Sequence[int]) -> None:
    """Moves the checkpoints of these steps out of their folder. All processes call it, and the first one moves."""
    for step in steps if jax.process_index() == 0 else ():
        aside = folder.with_name(FOLDER) / f"{step}-{time.time_ns()}"
        if is_remote(str(folder)):
            move(str(folder / str(step)), str(aside))
        else:
            aside.parent.mkdir(exist_ok=True)
            (folder / str(step)).rename(aside)
        LOG.warning(f"Moved the checkpoint of step {step} to {aside}.")
    parallel.of_all_processes(len(steps))  # none of them looks before they are moved
