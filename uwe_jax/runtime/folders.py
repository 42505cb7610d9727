"""Atomic replacement of folders: after a kill at any moment, the complete old folder or the complete new one exists."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.locks import QUIET, exclusive

_HIDDEN = ".replacing"
_LOCK = f"{_HIDDEN}.lock"
_SHORT = 60.0  # seconds: renames take less


@contextlib.contextmanager
def replacing(
    target: Path,
    *,
    check: Callable[[], None] = lambda: None,
    patience: float = QUIET,
    advice: str = "name another folder",
) -> Iterator[Path]:
    """Replaces a folder, or a file, with what the block writes; if the block raises, the target is unchanged.

    The block writes into the hidden folder `.NAME.replacing` beside the target, under the lock `.NAME.replacing.lock`.
    A kill leaves the old or the new folder in place, or the old one in the hidden folder, from where `restore` or the
    next writer puts it back. The next writer in the same parent removes the remains of killed processes.

    Args:
      target: to replace; its parents are created if missing.
      check: called under the lock before and after the block; raises if the target must not be replaced.
      patience: seconds to wait for another process that replaces the target; see `uwe_jax.runtime.locks`.
      advice: what the user can do besides waiting, if the target is locked or not writable.

    Yields:
      The path to write to, which does not exist yet; anything else written into its parent is temporary. If the path
      does not exist when the block ends, the target is unchanged.

    Raises:
      UserError: the target is not writable, or another process replaces it.
    """
    target = target.resolve()  # "." has no name
    hidden, lock = _hidden(target), _lock(target)
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(exclusive(lock, f"writing {target}", patience=patience, advice=advice))
            held.callback(lock.unlink, missing_ok=True)
            held.callback(_settle, target)
            _settle(target)
            _clear(target.parent)
            hidden.mkdir()
        except OSError as error:
            reason = f"Cannot write to {target.parent}: {error.strerror}"
            raise UserError(f"{reason}. {advice[0].upper()}{advice[1:]}.") from error
        check()
        new = hidden / "new"
        yield new
        if new.exists():
            # Flushed to disk, so that a power cut leaves no empty files.
            for path in (new, *new.rglob("*")):
                if path.is_file():
                    with path.open("rb") as file:
                        os.fsync(file.fileno())
            check()  # minutes may have passed
            if target.exists():
                target.rename(hidden / "old")
            new.rename(target)


def restore(target: Path) -> None:
    """Puts back a folder that a killed `replacing` had moved away; does nothing if there is none or on errors."""
    target = target.resolve()
    if target.name and not target.exists() and (_hidden(target) / "old").exists():
        with contextlib.suppress(OSError), exclusive(_lock(target), f"writing {target}", patience=_SHORT):
            _settle(target)
            _lock(target).unlink(missing_ok=True)


def _hidden(target: Path) -> Path:
    return target.with_name(f".{target.name}{_HIDDEN}")


def _lock(target: Path) -> Path:
    return target.with_name(f".{target.name}{_LOCK}")


def _clear(folder: Path) -> None:
    """Removes the remains of killed processes in a folder; running processes hold their locks."""
    import filelock  # slow to import

    for lock in folder.glob(f".*{_LOCK}"):
        # Files that cannot be locked, as in a file system without locks, are left alone.
        with contextlib.suppress(OSError), lock.open("r+b") as file:
            if filelock.lock_descriptor(file.fileno(), blocking=False) and os.fstat(file.fileno()).st_nlink:
                _settle(lock.with_name(lock.name[1 : -len(_LOCK)]))
                lock.unlink()


def _settle(target: Path) -> None:
    """Puts the old folder back if nothing has replaced it, and removes the hidden folder."""
    hidden = _hidden(target)
    old = hidden / "old"
    if old.exists():
        # Renamed first: never restored once its removal has begun.
        old.rename(hidden / "gone" if target.exists() else target)
    shutil.rmtree(hidden, ignore_errors=True)
