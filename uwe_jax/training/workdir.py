"""The folder of a run: whose it is, and what is written there beside checkpoints and metrics."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from uwe_jax.base.config import Config
from uwe_jax.base.errors import UserError
from uwe_jax.base.files import write_json

# What a resumed run may change without its result changing.
_FREE = (
    "workdir",
    "log_every",
    "checkpoint_every",
    "batch.prefetch",
    "batch.threads",
    "evaluation.texts_per_device",
    "source.path",  # the graphs' fingerprints are compared instead
    "source.cache_dir",
)


def differences(ours: dict[str, Any], theirs: dict[str, Any], prefix: str = "") -> list[str]:
    """Settings that differ, as `key: theirs -> ours`."""
    found = []
    for key in sorted({*ours, *theirs}):
        name = f"{prefix}{key}"
        a, b = ours.get(key), theirs.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found += differences(a, b, f"{name}.")
        elif a != b and name not in _FREE:
            found.append(f"{name}: {b!r} there, {a!r} now")
    return found


def claim(config: Config) -> Path:
    """Makes the workdir and writes its config.json, or checks that it is of this very config.

    Raises:
      UserError: the folder cannot be written, or belongs to another config.
    """
    workdir = Path(config.workdir)
    path = workdir / "config.json"
    try:
        if path.exists():
            changed = differences(config.to_dict(), json.loads(path.read_text()))
            if changed:
                raise UserError(
                    f"{workdir} belongs to another config ({len(changed)} settings differ: {'; '.join(changed[:5])}). "
                    "Name another folder with --config.workdir=..., or repeat the settings it was started with."
                )
        write_json(path, config.to_dict())
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path} is not valid JSON ({error}); it is written by the run itself. Remove the folder or name another."
        ) from error
    except OSError as error:
        raise UserError(
            f"Cannot write to the workdir {workdir}: {error.strerror}. Name another with --config.workdir=..."
        ) from error
    return workdir


def check_fingerprints(ours: dict[str, str], theirs: dict[str, str], workdir: Path) -> None:
    """Raises UserError unless a checkpoint was trained on the same graphs."""
    changed = sorted(kind for kind in {*ours, *theirs} if ours.get(kind) != theirs.get(kind))
    if changed:
        kind = changed[0]
        raise UserError(
            f"The checkpoints in {workdir} were trained on other graphs: {', '.join(f'skill-{k}' for k in changed)} "
            f"differ (skill-{kind}: {str(theirs.get(kind))[:12]} there, {str(ours.get(kind))[:12]} now). Give the "
            "data it was started with, or start over with another --config.workdir."
        )
