"""Splits descriptions into sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator

from uwe_jax.data.text import normalise

MIN_WORDS = 3
MAX_CHARACTERS = 400

_WORD = re.compile(r"\w+")
_LINE = re.compile("[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
# Characters that open a list item anywhere, and those that do so only between spaces or at the start.
_INLINE_BULLET = re.compile(r"[•▪◦●■□‣\u2043∙►➢✓✔]|(?<=\s)[*·](?=\s)")
_ITEM = re.compile(r"^\s*(?:[-*+\u2013\u2014·>o]\s+|\(?\d{1,2}[.)]\s+|\(?[a-z]\)\s+)+")
# Mail and terminals wrap prose: a long line without a final mark continues in lower case.
_OPEN_END, _GOES_ON = re.compile(r"[\w,]"), re.compile("[a-z]")
_WRAP_WIDTH = 60


def cut_sentences(text: str, language: str = "en") -> list[str]:
    """Splits a plain text into its sentences, normalised.

    Line breaks and bullets separate; the text between them is split by sentencex, with the rules and abbreviations of
    the language. Bullets and numbers of list items are removed.

    Args:
      language: code such as en; sentencex falls back to a related one.

    >>> cut_sentences("You:\\n• know e.g. C# and .NET. Mr. Li helps.\\n2) plan shifts")
    ['You:', 'know e.g. C# and .NET.', 'Mr. Li helps.', 'plan shifts']
    """
    # imported lazily: other sources do not need it
    import sentencex

    found = []
    for line in _unwrapped(text):
        for item in _INLINE_BULLET.split(line):
            bare = _ITEM.sub("", item)
            for segment in _joined(sentencex.segment(language.lower(), bare)) if bare.strip() else ():
                if tidy := normalise(segment):
                    found.append(tidy)
    return found


def length_problem(sentence: str, min_words: int = MIN_WORDS, max_characters: int = MAX_CHARACTERS) -> str:
    """Returns "short" or "long" for a sentence to leave out, else "".

    >>> length_problem("Apply now!"), length_problem("You weld metal."), length_problem("word " * 100)
    ('short', '', 'long')
    """
    if len(sentence) > max_characters:
        return "long"
    return "short" if len(_WORD.findall(sentence)) < min_words else ""


def _unwrapped(text: str) -> list[str]:
    """Returns the lines of a text, with wrapped ones joined again; in time linear in the text."""
    lines: list[list[str]] = []
    length, last = 0, ""  # of the line so far: its characters, and the last of them that is not blank
    for part in _LINE.split(text):
        if lines and length >= _WRAP_WIDTH and _OPEN_END.match(last) and _GOES_ON.match(part):
            lines[-1].append(part)
            length += 1 + len(part)
            last = part.rstrip(" \t")[-1:] or last
        else:
            lines.append([part])
            length, last = len(part), part.rstrip(" \t")[-1:]
    return [" ".join(parts) for parts in lines]


def _joined(segments: list[str]) -> Iterator[str]:
    """Joins segments again that sentencex split after the full stop that opens a word, as in .NET."""
    held = ""
    for segment in segments:
        held += segment
        if not (held.endswith(".") and (len(held) == 1 or held[-2].isspace())):
            yield held
            held = ""
    if held:
        yield held
