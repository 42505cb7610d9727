"""Finds files in the folders of a user."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from uwe_jax.runtime.errors import UserError

DEPTH = 2  # levels of folders that are searched


def check_folder(folder: Path, expected: str) -> None:
    """Raises UserError with `expected`, a sentence, unless the folder exists."""
    if not folder.is_dir():
        state = "is a file" if folder.exists() else "does not exist"
        raise UserError(f"{folder} {state}. {expected}")


def files_in(folder: Path, depth: int) -> Iterator[Path]:
    """Yields the files of a folder and of `depth` levels below it, level by level, each sorted by name.

    Hidden files and folders are skipped: editors keep old copies there.
    """
    for level in range(depth + 1):
        for path in sorted(folder.glob("*/" * level + "*")):
            hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
            if path.is_file() and not hidden:
                yield path


def only_copy(found: Sequence[Path], folder: Path, what: str) -> Path | None:
    """Returns the first of the files found in a folder, None if there is none; UserError if their contents differ.

    `what` names the content for messages.
    """
    if not found:
        return None
    first, *others = found
    if any(other.read_bytes() != first.read_bytes() for other in others):
        names = ", ".join(str(path.relative_to(folder)) for path in found)
        raise UserError(
            f"{len(found)} files in {folder} hold {what}, with different content: {names}. Expected one: move the "
            "others elsewhere."
        )
    return first
