"""A folder that appears whole, in the place of an earlier one of its kind."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from uwe_jax.models.exported import MANIFEST, changed, files_in, is_exported, read_manifest, written_files
from uwe_jax.runtime.errors import UserError

_SHOWN = 5


def check_replaceable(out: Path) -> None:
    """Raises a UserError unless `out` is free: no folder yet, an empty one, or an export with nothing else in it.

    Whatever an export did not write, or was changed since, would be lost with the folder.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file. Name a folder with --out.")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not is_exported(out):
        raise UserError(
            f"{out} holds other things than an export ({_some(sorted(path.name for path in out.iterdir()))}), which "
            "would be lost. Name a new folder with --out, or empty that one."
        )
    written = written_files(out, read_manifest(out))
    own = [name for name in files_in(out) if name not in written and name != MANIFEST]
    differing = [phrase for phrase in changed(out, written) if not phrase.endswith("is missing")]
    if own or differing:
        raise UserError(
            f"{out} is an export with changes of yours, which would be lost: "
            f"{_some([f'{name} is new' for name in own] + differing)}. Move them elsewhere, or name a new folder with "
            "--out."
        )


@contextlib.contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """A folder to write into. It becomes `out` when the block ends, and is removed where the block raises.

    A kill leaves `out` as it was, and beside it a hidden folder named `.NAME.PID.partial`.

    Raises:
      UserError: the folder cannot be written, or is not free (see `check_replaceable`).
    """
    check_replaceable(out)
    partial, old = (out.with_name(f".{out.name}.{os.getpid()}.{what}") for what in ("partial", "old"))
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"Cannot write to {out.parent}: {error.strerror}. Name another folder with --out.") from error
    try:
        yield partial
        for name in files_in(partial):
            with (partial / name).open("rb") as file:
                os.fsync(file.fileno())
        check_replaceable(out)  # minutes may have passed
        if not out.exists():
            partial.rename(out)
            return
        out.rename(old)
        try:
            partial.rename(out)
        except OSError:
            old.rename(out)
            raise
        shutil.rmtree(old)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _some(phrases: list[str]) -> str:
    more = f" and {len(phrases) - _SHOWN} more" if len(phrases) > _SHOWN else ""
    return ", ".join(phrases[:_SHOWN]) + more
