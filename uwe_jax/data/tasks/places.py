"""What lies in the folders of a user, and which split a name states."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

DEPTH = 2  # folders inside a folder of the user that are looked into

# The words of a file's or folder's name that the hub takes for a split.
_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_SPLIT_OF = {word: split for split, words in _WORDS.items() for word in words}


def files_in(folder: Path) -> Iterator[Path]:
    """Every file in a folder and in the folders in it down to `DEPTH`, the upper ones first, each level by name."""
    for level in range(DEPTH + 1):
        for path in sorted(folder.glob("*/" * level + "*")):
            if not path.name.startswith(".") and path.is_file():
                yield path


def stated_split(names: Iterable[str]) -> str:
    """What the first name with a split's word in it says: train, validation or test; "" where none does.

    Args:
      names: of a file without its ending, then of its folders, the innermost first.

    >>> stated_split(["test-00000-of-00001", "data"]), stated_split(["sentences", "DEV"]), stated_split(["latest"])
    ('test', 'validation', '')
    """
    for name in names:
        for word in re.findall("[a-z]+", name.casefold()):
            if word in _SPLIT_OF:
                return _SPLIT_OF[word]
    return ""
