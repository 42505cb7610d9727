"""The folder of a run: which config it belongs to, and its small files."""

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

SKILLS = "skills.txt"  # of the graphs, one per line, as targets to rank
# Settings that a resumed run may change without its result changing.
_FREE = (
    *("workdir", "log_every", "checkpoint_every", "profile", "profile_steps", "nan_hunt", "wandb"),
    *("batch.prefetch", "batch.threads", "evaluation.texts_per_device"),
    *("source.path", "source.tasks_path", "source.cache_dir"),  # the graphs' fingerprints are compared instead
)
_BESIDE_GRAPHS = ("teacher", "guide")  # that have a fingerprint, as each graph has by its kind
_FREE_PARTS = re.compile(r"source\.parts\.[^.]+\.path|distributed\.\w+")


def differences(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """Lists settings that differ and influence the result, each with both values."""
    now, there = _flat(ours), _flat(theirs)
    return [
        f"{name}: {there.get(name)!r} there, {now.get(name)!r} now"
        for name in sorted({*now, *there})
        if now.get(name) != there.get(name) and name not in _FREE and not _FREE_PARTS.fullmatch(name)
    ]


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    """Flattens nested settings to names with dots; Flax's `flatten_dict` would import jax, which studies do without."""
    flat = {}
    for name, value in values.items():
        inner = (
            {f"{name}.{key}": each for key, each in _flat(value).items()} if isinstance(value, dict) else {name: value}
        )
        flat.update(inner)
    return flat


@contextlib.contextmanager
def _writing(workdir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"Cannot write to the workdir {workdir}: {error.strerror}. Name another with --config.workdir=..."
        ) from error


@contextlib.contextmanager
def held(run: RunFolder) -> Iterator[None]:
    """Locks a workdir against all trainings that share its disk; one in a bucket, against those of this machine.

    Raises UserError if another training is running there, or the folder cannot be written.
    """
    doing, advice = f"training in {run.url or run.local}", "name another folder with --config.workdir=..."
    with contextlib.ExitStack() as lock:
        with _writing(run.local):
            lock.enter_context(exclusive(run.lock, doing, advice=advice))
        yield


def check(config: Config, run: RunFolder) -> None:
    """Creates the workdir; more steps than before do not make a config another one.

    Raises UserError if the folder cannot be written, or has checkpoints of another config.
    """
    path = run.local / "config.json"
    with _writing(run.local):
        run.local.mkdir(parents=True, exist_ok=True)
        # Without a checkpoint there is nothing to resume and nothing to lose.
        if not path.exists() or not any(run.checkpoints.glob("[0-9]*")):
            return
        theirs = read_json(path, "It is written by the run itself. Remove the folder or name another.")
    try:
        recorded = Config.from_dict(theirs)
        more = dataclasses.replace(recorded, steps=max(recorded.steps, config.steps))
        changed = differences(config.to_dict(), more.to_dict())
    except UserError as error:
        raise UserError(f"{path}: {error} Restore it from a copy, or name another folder.") from error
    if changed:
        raise UserError(
            f"{config.workdir} belongs to another config ({len(changed)} settings differ: {'; '.join(changed[:5])}). "
            "Name another folder with --config.workdir=..., or repeat the settings it was started with."
        )


def finished(config: Config, run: RunFolder) -> dict[str, Any] | None:
    """Returns the summary of a finished run; None if something is left to do."""
    try:
        summary = read_json(run.local / "summary.json", "")
    except UserError:
        return None
    if summary.get("steps") != config.steps or "against_frozen" not in summary:
        return None
    kept = (run.checkpoints / str(summary.get("step")), run.checkpoints / str(config.steps))
    return summary if all(folder.exists() for folder in kept) else None


def claim(workdir: Path, config: Config) -> None:
    """Writes config.json, by which the workdir belongs to this config; raises UserError if it cannot be written."""
    with _writing(workdir):
        write_json(workdir / "config.json", config.to_dict())


def check_data(ours: dict[str, str], meta: dict[str, Any], workdir: Path | str) -> None:
    """Raises UserError unless a checkpoint's meta object has our fingerprints of data and the same way of splitting."""
    theirs, split_by = meta["fingerprints"], meta.get("split_by", "exact text and kind")
    if split_by != SPLIT_BY:
        raise UserError(
            f"The checkpoints in {workdir} cannot be resumed: their held-out nodes were chosen by {split_by}, and this "
            f"version chooses them by {SPLIT_BY}, so nodes that were trained on would be measured. Start over with "
            "another --config.workdir, or resume with the version of uwe_jax that started the run. The model itself "
            "can still be used by index, rank, evaluate and export."
        )
    changed = sorted(what for what in {*ours, *theirs} if ours.get(what) != theirs.get(what))
    if changed:
        what = changed[0]
        named = [what if what in _BESIDE_GRAPHS else f"skill-{what}" for what in changed]
        raise UserError(
            f"The checkpoints in {workdir} were trained with other data: {', '.join(named)} differ "
            f"({named[0]}: {str(theirs.get(what))[:12]} there, {str(ours.get(what))[:12]} now). Give the "
            "data it was started with, or start over with another --config.workdir."
        )
