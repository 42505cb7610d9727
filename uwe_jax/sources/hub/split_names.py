"""Finds the split that the name of a file or folder states."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Words in names that the hub recognises as a split.
_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_SPLIT_OF = {word: split for split, words in _WORDS.items() for word in words}
# The name of a test split and nothing else, with the marks of shards: test, x_test, test_set, x-eval-00000-of-00001.
_TEST = re.compile(r"(?:.*[-_.])?(?:test|eval)(?:[-_](?:set|split|data))?(?:[-_.]?\d+(?:-of-\d+)?)?|testing|evaluation")


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
