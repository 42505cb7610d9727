"""What lies in the folders of a user."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from uwe_jax.runtime.errors import UserError

# How deep the folders of a user are looked into.
DEPTH = 2


def check_folder(folder: Path, expected: str) -> None:
    """Raises UserError with what was expected, a sentence, unless there is such a folder."""
    if not folder.is_dir():
        state = "is a file" if folder.exists() else "does not exist"
        raise UserError(f"{folder} {state}. {expected}")


def files_in(folder: Path, depth: int) -> Iterator[Path]:
    """Every file in a folder and in the folders in it down to `depth`, the upper ones first, each level by name.

    Hidden files and folders are passed over: editors keep old copies there.
    """
    for level in range(depth + 1):
        for path in sorted(folder.glob("*/" * level + "*")):
            hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
            if path.is_file() and not hidden:
                yield path


def only_copy(found: Sequence[Path], folder: Path, what: str) -> Path | None:
    """The first of the files, None where there is none. Further ones must be copies of it.

    Args:
      found: files in `folder`.
      folder: of the user.
      what: they all hold, for messages.

    Raises:
      UserError: two of them differ.
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
