"""Copies of texts: word by word, by a run of words, or nearly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from uwe_jax.data.text import comparable
from uwe_jax.evaluation.lexical import words

# Shorter texts have so many words in common by chance that only equal ones count as copies; and by so few words
# "C++ developer" and "C# developer" are the same.
SHORT = 4


class Texts:
    """Texts of which no copy is wanted.

    Texts are compared as `comparable` leaves them; those of `SHORT` or more words by their words, ignoring punctuation.

    Args:
      texts: to be recognised.
      run: consecutive words that make a copy of a text that is not equal; 0 recognises equal texts only.
    """

    def __init__(self, texts: Iterable[str] = (), run: int = 0):
        self._run = run
        self._whole: set[int] = set()
        self._runs: set[int] = set()
        for text in texts:
            self.add(text)

    def __len__(self) -> int:
        return len(self._whole)

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and hash(_form(text)) in self._whole

    def add(self, text: str, *, runs: bool = True) -> None:
        """Adds a text; without `runs`, only an equal text is a copy of it."""
        self._whole.add(hash(_form(text)))
        if self._run and runs:
            self._runs.update(_runs(words(text), self._run))

    def copied(self, text: str) -> str:
        """Returns what makes a text a copy, for people; empty where it is not one."""
        if text in self:
            return "equal to one"
        if self._run and not self._runs.isdisjoint(_runs(words(text), self._run)):
            return f"{self._run} words in a row"
        return ""


def overlap(one: str, other: str) -> float:
    """Returns twice the number of common words over the words of both, with repeats; 0 where one is `SHORT`.

    >>> overlap("care for old patients", "Care for young patients!")
    0.75
    """
    a, b = Counter(words(one)), Counter(words(other))
    if a.total() < SHORT or b.total() < SHORT:
        return 0.0
    return 2 * (a & b).total() / (a.total() + b.total())


def _form(text: str) -> str:
    text = comparable(text)
    found = words(text)
    return " ".join(found) if len(found) >= SHORT else text


def _runs(found: list[str], length: int) -> Iterator[int]:
    return (hash(tuple(found[k : k + length])) for k in range(len(found) - length + 1))
