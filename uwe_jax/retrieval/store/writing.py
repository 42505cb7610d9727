"""Writing to the folder of a space: one at a time, and so that a kill leaves the space as it was or as it shall be."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from uwe_jax.retrieval.store.manifest import MANIFEST, Entry, Manifest, read_manifest, write_manifest
from uwe_jax.retrieval.store.segment import Part
from uwe_jax.retrieval.store.segment_file import write_segment
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.locks import QUIET, exclusive

SEGMENTS = "segments"
_LOCK = "space.lock"
_SUFFIX = ".safetensors"
_PARTIAL = f".{MANIFEST}.*.partial"  # of `write_atomically`, killed
# Seconds for who would lose long work, such as encoding, by giving up: the largest of changes takes less.
LONG_PATIENCE = 1800.0


class Writer:
    """Who holds the lock of a folder.

    Attributes:
      folder: of the space.
      manifest: of the space as it is; None where there is none yet.
    """

    def __init__(self, folder: Path, manifest: Manifest | None):
        self.folder = folder
        self.manifest = manifest

    def add(self, parts: Sequence[Part]) -> Entry:
        """Writes a segment of the targets of some parts of one dtype, which counts once it is committed."""
        segments = self.folder / SEGMENTS
        segments.mkdir(exist_ok=True)
        name = f"{uuid.uuid4().hex}{_SUFFIX}"
        wholes = [part.whole() for part in parts]
        size, digest, columns = write_segment(segments / name, wholes)
        _settle(segments)
        tokens = sum(len(whole.values) for whole in wholes)
        return Entry(name, sum(map(len, wholes)), tokens, size, digest, columns=columns)

    def commit(self, manifest: Manifest) -> None:
        """Makes the space what a manifest says, in one step."""
        write_manifest(self.folder, manifest)
        _settle(self.folder)
        self.manifest = manifest

    def tidy(self) -> None:
        """Deletes what writers left behind: segments that the manifest does not name, and half a manifest."""
        if self.manifest is None:
            return
        named = {entry.file for entry in self.manifest.segments}
        left = [path for path in (self.folder / SEGMENTS).glob(f"*{_SUFFIX}") if path.name not in named]
        for path in (*left, *self.folder.glob(_PARTIAL)):
            # A system that keeps open files may refuse; the next one tries again.
            with contextlib.suppress(OSError):
                path.unlink()


@contextlib.contextmanager
def changing(folder: str | Path, *, patience: float = 0) -> Iterator[tuple[Writer, Manifest]]:
    """Holds the lock of a space that is there, whose manifest comes with the writer.

    Args:
      folder: of the space.
      patience: seconds to wait for another process that writes to it; two at least.

    Raises:
      UserError: there is no space, another process writes to it, or it may not be written.
    """
    folder = Path(folder).expanduser()
    read_manifest(folder)  # a lock would leave its file in a folder that is no space
    with _locked(folder, patience):
        manifest = read_manifest(folder)
        writer = Writer(folder, manifest)
        writer.tidy()
        yield writer, manifest


@contextlib.contextmanager
def creating(folder: str | Path, *, patience: float = 0) -> Iterator[Writer]:
    """Holds the lock of a folder that a space is written to; one that is there stays until the new one is committed.

    Args:
      folder: of the space.
      patience: as of `changing`.

    Raises:
      UserError: the folder holds something else, another process writes to it, or it may not be written.
    """
    folder = Path(folder).expanduser()
    with _explained(folder):
        _check_free(folder)
        folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder, patience):
        writer = Writer(folder, read_manifest(folder) if (folder / MANIFEST).exists() else None)
        writer.tidy()
        yield writer


@contextlib.contextmanager
def _locked(folder: Path, patience: float) -> Iterator[None]:
    with contextlib.ExitStack() as held:
        with _explained(folder):
            held.enter_context(exclusive(folder / _LOCK, f"writing to {folder}", patience=max(patience, QUIET)))
        yield


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Answers with a sentence where a folder may not be written; a full disk keeps its OSError."""
    try:
        yield
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise UserError(
            f"{folder} cannot be written ({error.strerror}: {error.filename}). Give a folder that you may write to."
        ) from error


def _check_free(folder: Path) -> None:
    """Raises UserError where a folder holds anything but a space, or what is left of building one."""
    if not folder.is_dir():
        return
    if (folder / MANIFEST).exists():
        read_manifest(folder)  # what is not understood is not replaced
        return
    ours = {SEGMENTS, _LOCK, *(path.name for path in folder.glob(_PARTIAL))}
    if others := sorted({path.name for path in folder.iterdir()} - ours):
        raise UserError(
            f"{folder} holds {len(others):,} files that are not of a space, such as {others[0]}. Give a new folder, or "
            "that of a space, which is replaced."
        )


def _settle(folder: Path) -> None:
    """Waits until the disk has the names in a folder, where the system can say so: a power cut leaves none out."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
