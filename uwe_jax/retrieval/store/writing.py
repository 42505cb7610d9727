"""Writing to an index folder: one process at a time, and atomically, so that a kill leaves the old or the new index."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from uwe_jax.retrieval.store.manifest import MANIFEST, Entry, Manifest, read_manifest, write_manifest
from uwe_jax.retrieval.store.segment import Part, write_segment
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.locks import QUIET, exclusive
from uwe_jax.runtime.progress import counted

SEGMENTS = "segments"
_LOCK = "space.lock"
_SUFFIX = ".safetensors"
_PARTIAL = f".{MANIFEST}.*.partial"  # of `write_atomically`, killed
# Seconds to wait for the lock where giving up would lose long work, such as encoding: every change takes less.
LONG_PATIENCE = 1800.0


class Writer:
    """Writes to a folder while its lock is held.

    Attributes:
      folder: of the index.
      manifest: of the index as it is; None where there is none yet.
    """

    def __init__(self, folder: Path, manifest: Manifest | None):
        self.folder = folder
        self.manifest = manifest
        self.tidy()

    def add(self, parts: Sequence[Part]) -> tuple[Entry, ...]:
        """Writes the targets of parts of one dtype to a segment, if there are any; `commit` makes it count."""
        if not any(map(len, parts)):
            return ()
        segments = self.folder / SEGMENTS
        segments.mkdir(exist_ok=True)
        name = f"{uuid.uuid4().hex}{_SUFFIX}"
        wholes = [part.whole() for part in parts if len(part)]
        size, digest, columns = write_segment(segments / name, wholes)
        _sync(segments)
        tokens = sum(len(whole.values) for whole in wholes)
        return (Entry(name, sum(map(len, wholes)), tokens, size, digest, columns=columns),)

    def commit(self, manifest: Manifest) -> None:
        """Replaces the manifest atomically."""
        write_manifest(self.folder, manifest)
        _sync(self.folder)
        self.manifest = manifest

    def tidy(self) -> None:
        """Deletes leftovers of earlier writers: segments that the manifest does not name, and partial manifests."""
        if self.manifest is None:
            return
        named = {entry.file for entry in self.manifest.segments}
        left = [path for path in (self.folder / SEGMENTS).glob(f"*{_SUFFIX}") if path.name not in named]
        for path in (*left, *self.folder.glob(_PARTIAL)):
            # A system that keeps open files may refuse; the next writer tries again.
            with contextlib.suppress(OSError):
                path.unlink()


@contextlib.contextmanager
def changing(folder: str | Path, *, patience: float = 0) -> Iterator[tuple[Writer, Manifest]]:
    """Holds the lock of an existing index; yields the writer and the manifest.

    It waits `patience` seconds, at least two, for another process that writes to it.

    Raises:
      UserError: there is no index, another process writes to it, or it cannot be written.
    """
    folder = Path(folder).expanduser()
    read_manifest(folder)  # a lock would leave its file in a folder that is not an index
    with _locked(folder, patience):
        manifest = read_manifest(folder)
        yield Writer(folder, manifest), manifest


@contextlib.contextmanager
def creating(folder: str | Path, *, patience: float = 0) -> Iterator[Writer]:
    """Holds the lock of a folder that an index is written to; an existing one stays until the new one is committed.

    Raises:
      UserError: the folder holds something else, another process writes to it, or it cannot be written.
    """
    folder = Path(folder).expanduser()
    with _explained(folder):
        _check_free(folder)
        folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder, patience):
        yield Writer(folder, read_manifest(folder) if (folder / MANIFEST).exists() else None)


@contextlib.contextmanager
def _locked(folder: Path, patience: float) -> Iterator[None]:
    with contextlib.ExitStack() as held:
        with _explained(folder):
            held.enter_context(exclusive(folder / _LOCK, f"writing to {folder}", patience=max(patience, QUIET)))
        yield


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Explains why a folder cannot be written; a full disk keeps its OSError."""
    try:
        yield
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise UserError(
            f"{folder} cannot be written ({error.strerror}: {error.filename}). Give a folder that you may write to."
        ) from error


def _check_free(folder: Path) -> None:
    """Raises UserError where a folder holds anything but an index, or what is left of building one."""
    if not folder.is_dir():
        return
    if (folder / MANIFEST).exists():
        read_manifest(folder)  # only an index that can be read is replaced
        return
    ours = {SEGMENTS, _LOCK, *(path.name for path in folder.glob(_PARTIAL))}
    if others := sorted({path.name for path in folder.iterdir()} - ours):
        raise UserError(
            f"{folder} holds {counted(len(others), 'file')} outside of an index, such as {others[0]}. Give a new "
            "folder, or that of an index, which is replaced."
        )


def _sync(folder: Path) -> None:
    """Waits until the names in a folder are on disk, where the system can say so: a power cut loses none then."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
