"""Phrases on what was left out."""

from __future__ import annotations

from uwe_jax.runtime.progress import counted


def noted(count: int, noun: str, rest: str) -> list[str]:
    """Returns a note of a number with its noun, in the plural unless the number is 1, and the rest; none for 0.

    >>> noted(1200, "empty row", "left out"), noted(1, "empty row", "left out"), noted(0, "empty row", "left out")
    (['1,200 empty rows left out'], ['1 empty row left out'], [])
    """
    return [f"{counted(count, noun)} {rest}"] if count else []


def noted_of(count: int, total: int, noun: str, rest: str) -> list[str]:
    """Returns a note of how many of all that the noun names; none for 0.

    >>> noted_of(1, 3, "row", "without an id"), noted_of(1, 1, "row", "without an id")
    (['1 of 3 rows without an id'], ['1 of 1 row without an id'])
    """
    return [f"{count:,} of {counted(total, noun)} {rest}"] if count else []
