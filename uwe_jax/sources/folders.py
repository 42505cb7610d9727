"""Finds files in the folders of a user, and the splits that their names state."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import near_on_disk

DEPTH = 2  # levels of folders that are searched

# Words in names that the hub recognises as a split.
_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_SPLIT_OF = {word: split for split, words in _WORDS.items() for word in words}
# The name of a test split and nothing else, with the marks of shards: test, x_test, test_set, x-eval-00000-of-00001.
_TEST = re.compile(r"(?:.*[-_.])?(?:test|eval)(?:[-_](?:set|split|data))?(?:[-_.]?\d+(?:-of-\d+)?)?|testing|evaluation")
_SHARD = re.compile(r"-\d+-of-\d+$")


def check_folder(folder: Path, expected: str) -> None:
    """Raises UserError with `expected`, a sentence, unless the folder exists."""
    if not folder.is_dir():
        state = "is a file" if folder.exists() else "does not exist"
        raise UserError(f"{folder} {state}.{near_on_disk(folder)} {expected}")


def files_in(folder: Path, depth: int) -> Iterator[Path]:
    """Yields the files of a folder and of `depth` levels below it, level by level, each sorted by name.

    Hidden files and folders are skipped: editors keep old copies there.
    """
    for level in range(depth + 1):
        for path in sorted(folder.glob("*/" * level + "*")):
            hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
            if path.is_file() and not hidden:
                yield path


def table_root(name: str, table: str) -> str | None:
    """Returns the path of the folder that a table is in, if a file belongs to it: has its name, or a folder above it.

    >>> names = ["a/de/queries-00000-of-00001.parquet", "queries/test.parquet", "de/queries.tsv.gz", "de/query.csv"]
    >>> [table_root(name, "queries") for name in names], table_root(names[0], "de/queries"), table_root("a.csv", "b/a")
    (['a/de', '', 'de', None], 'a', None)
    """
    path = PurePosixPath(name)
    before, found, _ = f"/{path.with_name(_SHARD.sub('', path.name.split('.')[0]))}/".partition(f"/{table}/")
    return before[1:] if found else None


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


def is_test_split(stem: str) -> bool:
    """Returns whether a file's name without its ending is that of a test split, and not only contains such a word.

    >>> [is_test_split(stem) for stem in ("test", "x_TEST", "x-test-00000-of-00001", "evaluation")]
    [True, True, True, True]
    >>> [is_test_split(stem) for stem in ("test-engineer", "software-testing", "evaluation officer", "latest")]
    [False, False, False, False]
    """
    return _TEST.fullmatch(stem.casefold()) is not None


def stated_split(names: Iterable[str]) -> str:
    """Returns the split of the first name that states one: train, validation or test; "" if none does.

    Args:
      names: of a file without its ending, then of its folders, the innermost first.

    >>> stated_split(["test-00000-of-00001", "data"]), stated_split(["sentences", "DEV"]), stated_split(["latest"])
    ('test', 'validation', '')
    """
    words = (word for name in names for word in re.findall("[a-z]+", name.casefold()))
    return next((_SPLIT_OF[word] for word in words if word in _SPLIT_OF), "")
