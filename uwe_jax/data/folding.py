"""Folds typographic variants of a text, and keeps where each character was."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

# Quotes and hyphens; soft hyphens and word joiners are dropped.
_TABLE = {
    **dict.fromkeys("`\u00b4\u2018\u2019\u201b\u02bc\u2032", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033", '"'),
    **dict.fromkeys("\u2010\u2011\u2212", "-"),
    **dict.fromkeys("\u00ad\u2060", ""),
}
# Kinds of compatibility characters that are folded: full and half width, ligatures, fixed spaces, forms of Arabic. Not
# signs such as superscripts: Java(TM) would become one word.
_FOLDED = ("<wide>", "<narrow>", "<compat>", "<noBreak>", "<initial>", "<medial>", "<final>", "<isolated>")
# A character, with the voicing mark that half-width katakana have as a further one.
_UNIT = re.compile(".[\uff9e\uff9f]?", re.DOTALL)


class Folded(NamedTuple):
    """A folded text; `low` is in lower case, of equal length. `starts` and `stops` are empty if nothing was folded."""

    text: str
    low: str
    starts: list[int]  # of each of its characters in the original
    stops: list[int]

    def span(self, start: int, stop: int) -> tuple[int, int]:
        """Returns a span of the folded text as a span of the original; `stop` is greater than `start`."""
        return (self.starts[start], self.stops[stop - 1]) if self.starts else (start, stop)


def fold(text: str) -> Folded:
    r"""Returns a text with plain apostrophes, hyphens, spaces, letters in place of ligatures, and letters of one width.

    >>> found = fold("Of\ufb01ce d\u2019accueil, \uff23\uff0b\uff0b, Schwei\u00dfer\u00adarbeit")
    >>> found.text, found.span(0, 6)
    ("Office d'accueil, C++, Schweißerarbeit", (0, 5))
    """
    if text.isascii() and "`" not in text:
        return Folded(text, text.lower(), [], [])
    units = _UNIT.findall(text)
    parts = list(map(_unit, units))
    plain = "".join(parts)
    starts: list[int] = []
    stops: list[int] = []
    if plain != text:
        place = 0
        for unit, part in zip(units, parts, strict=True):
            starts += [place] * len(part)
            place += len(unit)
            stops += [place] * len(part)
    return Folded(plain, _lower(plain), starts, stops)


@lru_cache(maxsize=1 << 14)
def _unit(unit: str) -> str:
    if unit in _TABLE:
        return _TABLE[unit]
    if unicodedata.decomposition(unit[0]).startswith(_FOLDED):
        return unicodedata.normalize("NFKC", unit)
    return unit


def _lower(text: str) -> str:
    """Converts to lower case, except letters that would become two: the length stays."""
    low = text.lower()
    if len(low) == len(text):
        return low
    return "".join(small if len(small := each.lower()) == 1 else each for each in text)
