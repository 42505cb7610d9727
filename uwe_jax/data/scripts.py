"""Boundaries and counts of words, also in scripts that have no spaces between them."""

from __future__ import annotations

import re
import unicodedata

# Characters of one syllable or word each: Chinese characters, with the iteration mark, and hiragana; letters of Thai,
# Lao, Tibetan, Burmese and Khmer.
_UNSPACED = "\u3005\u3006\u3040-\u309f\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_UNSPACED += "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff"
_KATAKANA, _HANGUL = "\u30a0-\u30ff\u31f0-\u31ff", "\uac00-\ud7a3"
_UNSPACED_CHARACTER = re.compile(f"[{_UNSPACED}]")
_KATAKANA_CHARACTER, _HANGUL_CHARACTER = re.compile(f"[{_KATAKANA}]"), re.compile(f"[{_HANGUL}]")
_DENSE = re.compile(f"[{_UNSPACED}{_KATAKANA}{_HANGUL}]")
_WORD = re.compile(r"\w+")
_WORD_CHARACTERS = 2  # of a word in a script without spaces, on average


def is_boundary(before: str, after: str, *, ends: bool) -> bool:
    """Returns whether a name may begin or, with `ends`, end between two characters of a text.

    In scripts without spaces it may do so anywhere, except within a letter and its marks and within a run of katakana,
    which is one loanword. In Korean it may end anywhere, as particles follow without a space.

    >>> is_boundary("\u306f", "\u4f1a", ends=False), is_boundary("a", "b", ends=True), is_boundary("+", "b", ends=True)
    (True, False, True)
    """
    if unicodedata.category(after)[0] == "M":
        return False
    if not (is_part(before) and is_part(after)):
        return True
    if _KATAKANA_CHARACTER.match(before) and _KATAKANA_CHARACTER.match(after):
        return False
    both = before + after
    if _UNSPACED_CHARACTER.search(both) or _KATAKANA_CHARACTER.search(both):
        return True
    return ends and bool(_HANGUL_CHARACTER.match(before))


def is_part(character: str) -> bool:
    """Returns whether a character is part of a word: a letter, a mark on one, a digit or an underscore."""
    return character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M"


def is_dense(text: str) -> bool:
    """Returns whether a text has characters of a syllable or a word each, so that two of them may be a name."""
    return not text.isascii() and _DENSE.search(text) is not None


def count_words(text: str) -> int:
    """Counts the words of a text; of scripts without spaces, two characters are taken for a word.

    >>> count_words("You weld metal."), count_words("\u4f1a\u8a08\u3068\u7a0e\u52d9\u306e\u7d4c\u9a13\u8005")
    (3, 4)
    """
    if text.isascii():
        return len(_WORD.findall(text))
    spaced, unspaced = _UNSPACED_CHARACTER.subn(" ", text)
    return len(_WORD.findall(spaced)) + unspaced // _WORD_CHARACTERS
