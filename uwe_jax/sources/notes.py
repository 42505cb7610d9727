"""Phrases on what was left out."""

from __future__ import annotations


def counted(count: int, phrase: str) -> list[str]:
    """Returns the phrase after its number; nothing for 0.

    >>> counted(1200, "empty rows left out"), counted(0, "empty rows left out")
    (['1,200 empty rows left out'], [])
    """
    return [f"{count:,} {phrase}"] if count else []
