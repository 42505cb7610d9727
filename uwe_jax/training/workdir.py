"""The folder of a run: whose it is, and what is written there beside checkpoints and metrics."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from uwe_jax.config import Config
from uwe_jax.data.split import SPLIT_BY
from uwe_jax.models.remote_workdir import RunFolder
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import write_json
from uwe_jax.runtime.json_file import read_json
from uwe_jax.runtime.locks import exclusive

# Hashes of the texts and edges of the training graphs; see `uwe_jax.data.training_hashes`.
TRAINED_ON = "trained_on.npz"
SKILLS = "skills.txt"  # of the graphs, one per line, as targets to rank
# What a resumed run may change without its result changing.
_FREE = (
    "workdir",
    "log_every",
    "checkpoint_every",
    "batch.prefetch",
    "batch.threads",
    "evaluation.texts_per_device",
    "source.path",  # the graphs' fingerprints are compared instead
    "source.tasks_path",
    "source.cache_dir",
    "profile",
    "profile_steps",
    "nan_hunt",
    "wandb",
)
_FREE_PARTS = re.compile(r"source\.parts\.[^.]+\.path|distributed\.\w+")


def differences(ours: dict[str, Any], theirs: dict[str, Any], prefix: str = "") -> list[str]:
    """Settings that differ, as `key: theirs -> ours`."""
    found = []
    for key in sorted({*ours, *theirs}):
        name = f"{prefix}{key}"
        a, b = ours.get(key), theirs.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found += differences(a, b, f"{name}.")
        elif a != b and name not in _FREE and not _FREE_PARTS.fullmatch(name):
            found.append(f"{name}: {b!r} there, {a!r} now")
    return found


@contextlib.contextmanager
def held(run: RunFolder) -> Iterator[None]:
    """Holds a workdir against every other training that can see it on a disk; of a bucket, those of this machine alone.

    Raises:
      UserError: another training is at work there, or the folder cannot be written.
    """
    doing, advice = f"training in {run.url or run.local}", "name another folder with --config.workdir=..."
    with contextlib.ExitStack() as lock:
        try:
            lock.enter_context(exclusive(run.lock, doing, advice=advice))
        except OSError as error:
            raise _not_writable(run.local, error) from error
        yield


def check(config: Config, run: RunFolder) -> Path:
    """Makes the workdir, unless it holds checkpoints of another config.

    Args:
      run: where its files lie, pulled.

    Returns:
      The local folder of its small files.

    Raises:
      UserError: the folder cannot be written, or belongs to another config. More steps are no other config.
    """
    workdir = run.local
    path = workdir / "config.json"
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        # Without a checkpoint there is nothing to resume and nothing to lose.
        if path.exists() and any(run.checkpoints.glob("[0-9]*")):
            theirs = read_json(path, "It is written by the run itself. Remove the folder or name another.")
            try:
                recorded = Config.from_dict(theirs)
                more = dataclasses.replace(recorded, steps=max(recorded.steps, config.steps))
                changed = differences(config.to_dict(), more.to_dict())
            except UserError as error:
                raise UserError(f"{path}: {error} Restore it from a copy, or name another folder.") from error
            if changed:
                raise UserError(
                    f"{config.workdir} belongs to another config ({len(changed)} settings differ: "
                    f"{'; '.join(changed[:5])}). "
                    "Name another folder with --config.workdir=..., or repeat the settings it was started with."
                )
    except OSError as error:
        raise _not_writable(workdir, error) from error
    return workdir


def finished(config: Config, run: RunFolder) -> dict[str, Any] | None:
    """The summary of a run that has come to its end; None where something is left to do.

    Args:
      config: that the workdir belongs to.
      run: its files, pulled.
    """
    try:
        summary = read_json(run.local / "summary.json", "")
    except UserError:
        return None
    if summary.get("steps") != config.steps or "against_frozen" not in summary:
        return None
    kept = (run.checkpoints / str(summary.get("step")), run.checkpoints / str(config.steps))
    return summary if all(folder.exists() for folder in kept) else None


def claim(workdir: Path, config: Config) -> None:
    """Writes the workdir's config.json: from here on it belongs to this config.

    Raises:
      UserError: the folder cannot be written.
    """
    try:
        write_json(workdir / "config.json", config.to_dict())
    except OSError as error:
        raise _not_writable(workdir, error) from error


def _not_writable(workdir: Path, error: OSError) -> UserError:
    return UserError(f"Cannot write to the workdir {workdir}: {error.strerror}. Name another with --config.workdir=...")


def check_data(ours: dict[str, str], meta: dict[str, Any], workdir: Path | str) -> None:
    """Raises UserError unless a checkpoint was trained on the same graphs, with the same nodes held out.

    Args:
      ours: fingerprints of the graphs.
      meta: object of the checkpoint.
      workdir: for messages.
    """
    theirs, split_by = meta["fingerprints"], meta.get("split_by", "exact text and kind")
    if split_by != SPLIT_BY:
        raise UserError(
            f"The checkpoints in {workdir} cannot be resumed: their held-out nodes were chosen by {split_by}, and this "
            f"version chooses them by {SPLIT_BY}, so that nodes would be measured that were trained on. Start over "
            "with another --config.workdir, or resume with the version of uwe_jax that began the run. The model itself "
            "can still be used by index, rank, evaluate and export."
        )
    changed = sorted(kind for kind in {*ours, *theirs} if ours.get(kind) != theirs.get(kind))
    if changed:
        kind = changed[0]
        raise UserError(
            f"The checkpoints in {workdir} were trained on other graphs: {', '.join(f'skill-{k}' for k in changed)} "
            f"differ (skill-{kind}: {str(theirs.get(kind))[:12]} there, {str(ours.get(kind))[:12]} now). Give the "
            "data it was started with, or start over with another --config.workdir."
        )
