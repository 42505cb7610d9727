"""When a text is a copy of another: word by word, by a run of words, or nearly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from uwe_jax.data.text import comparable
from uwe_jax.evaluation.lexical import words

# Texts of fewer words have so many words in common by chance that only equal ones count as copies; and of so few words
# "C++ developer" and "C# developer" are the same.
SHORT = 4


class Texts:
    """Texts that must not come back.

    Texts are compared as `comparable` leaves them; those of `SHORT` or more words by their words, whatever stands
    between them.

    Args:
      texts: to be recognised.
      run: words in a row that make a copy of a text that is not equal; 0 looks for equal texts alone.
    """

    def __init__(self, texts: Iterable[str], run: int = 0):
        self._run = run
        self._whole: set[int] = set()
        self._runs: set[int] = set()
        for text in texts:
            self.add(text)

    def __len__(self) -> int:
        return len(self._whole)

    def __contains__(self, text: object) -> bool:
        """Whether a text is equal to one of them."""
        return isinstance(text, str) and hash(_form(text)) in self._whole

    def add(self, text: str, *, runs: bool = True) -> None:
        """One more text; without `runs`, only an equal text is a copy of it."""
        self._whole.add(hash(_form(text)))
        if self._run and runs:
            self._runs.update(_runs(words(text), self._run))

    def copied(self, text: str) -> str:
        """In what a text is a copy of one of them, for people; empty where it is none."""
        if text in self:
            return "equal to one"
        if self._run and not self._runs.isdisjoint(_runs(words(text), self._run)):
            return f"{self._run} words in a row"
        return ""


def overlap(one: str, other: str) -> float:
    """Twice the number of common words over the words of both, repeats counted; 0 where one has fewer than `SHORT`.

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
