"""One spelling for job titles: half of the announcements have titles in capitals."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
_ABBREVIATION = 3  # letters: a word in capitals up to this length is an abbreviation unless a title says otherwise
_BRACKETS = re.compile(r"\([^)]*\)?")  # they hold abbreviations


def one_spelling(titles: Iterable[str]) -> dict[str, str]:
    """Returns the spelling of each title: the same for titles that differ in case alone.

    It is the most frequent one that is not in capitals. A title that occurs in capitals alone takes the spelling of
    each word from the other titles, so that abbreviations keep their capitals; words of no other title are capitalised.

    Args:
      titles: as often as they occur, in any order.

    >>> spelt = one_spelling(["IT SPECIALIST", "CHIEF OF NURSES", "Nurse", "IT Specialist", "Chief of Staff"])
    >>> spelt["IT SPECIALIST"], spelt["CHIEF OF NURSES"]
    ('IT Specialist', 'Chief of Nurses')
    """
    counts = Counter(titles)
    mixed = {title: count for title, count in counts.items() if not _in_capitals(title)}
    whole = _most_frequent(mixed.items())
    words = _most_frequent((word, count) for title, count in mixed.items() for word in _WORD.findall(title))
    return {title: whole.get(title.casefold()) or _respell(title, words) for title in counts}


def _in_capitals(title: str) -> bool:
    """Returns True if most words outside brackets are in capitals, not counting possible abbreviations."""
    words = [word for word in _WORD.findall(_BRACKETS.sub("", title)) if len(word) > _ABBREVIATION]
    return 2 * sum(map(str.isupper, words)) > len(words) if words else title.isupper()


def _most_frequent(spellings: Iterable[tuple[str, int]]) -> dict[str, str]:
    """Returns the most frequent spelling per casefolded text, of equals the first in code point order."""
    counts: Counter[str] = Counter()
    for text, count in spellings:
        counts[text] += count
    ascending = sorted(counts, key=lambda text: (-counts[text], text), reverse=True)
    return {text.casefold(): text for text in ascending}


def _respell(title: str, words: Mapping[str, str]) -> str:
    def spell(match: re.Match[str]) -> str:
        word = match.group()
        if not word.isupper():
            return word
        return words.get(word.casefold()) or (word if len(word) <= _ABBREVIATION else word.capitalize())

    text = _WORD.sub(spell, title)
    return text[:1].upper() + text[1:]
