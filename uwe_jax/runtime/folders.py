"""Folders that are replaced whole: whatever ends a process, the old one or the new one is there."""

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
    """Replaces a folder, or a file, with what the block writes; where the block raises, the target stays as it was.

    The block writes into the hidden folder `.NAME.replacing` beside the target, under the lock `.NAME.replacing.lock`.
    A kill at any moment leaves the old folder or the new one in place, or the old one in the hidden folder, from where
    `restore` or the next writer puts it back. The next writer of anything in the same parent removes what killed
    processes left there.

    Args:
      target: to replace; its parents are made if missing.
      check: called under the lock before and after the block; raises where the target must not be replaced.
      patience: seconds to wait for another process that replaces the target; see `uwe_jax.runtime.locks`.
      advice: what the user can do besides waiting, where the target is locked or cannot be written.

    Yields:
      The path to write to, which does not exist yet. Whatever else is written into its parent is temporary. If the
      path does not exist when the block ends, the target stays as it was.

    Raises:
      UserError: the target cannot be written, or another process replaces it.
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
            _write_through(new)
            check()  # minutes may have passed
            if target.exists():
                target.rename(hidden / "old")
            new.rename(target)


def restore(target: Path) -> None:
    """Puts a folder back that a killed process had moved out of the way of a new one; usually there is none.

    For readers of what `replacing` writes. A place that cannot be written stays as it is.
    """
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
    """Removes what killed processes left in a folder; the locks of living ones are held."""
    # Imported here: it takes longer than all the rest.
    import filelock

    for lock in folder.glob(f".*{_LOCK}"):
        # One that cannot be locked here is left alone, as in a file system without locks.
        with contextlib.suppress(OSError), lock.open("r+b") as file:
            if filelock.lock_descriptor(file.fileno(), blocking=False) and os.fstat(file.fileno()).st_nlink:
                _settle(lock.with_name(lock.name[1 : -len(_LOCK)]))
                lock.unlink()


def _settle(target: Path) -> None:
    """Puts the old folder back where nothing has taken its place, and removes everything hidden."""
    hidden = _hidden(target)
    old, gone = hidden / "old", hidden / "gone"
    if old.exists():
        # Never restored once its removal has begun.
        old.rename(gone if target.exists() else target)
    shutil.rmtree(hidden, ignore_errors=True)


def _write_through(new: Path) -> None:
    """Waits until the disk has every file, so that a power cut leaves none of them empty."""
    for path in (new, *new.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
