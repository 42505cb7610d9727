"""Phrases that say how much was left out."""

from __future__ import annotations


def counted(count: int, phrase: str) -> list[str]:
    """The phrase behind its number; nothing where there is nothing to say.

    >>> counted(1200, "empty rows left out"), counted(0, "empty rows left out")
    (['1,200 empty rows left out'], [])
    """
    return [f"{count:,} {phrase}"] if count else []
