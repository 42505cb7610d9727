"""Decides where a short or ordinary word is the name of a skill: in its own spelling, where capitals say something."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable
from functools import cached_property
from itertools import groupby

SHORT = 3  # characters up to which a name is an abbreviation

# Words of English sentences: capitals of IT in IT IS say nothing.
_FUNCTION_TEXT = (
    "a about all also am an and any are as at be best big but by can do each for from get go great had has have he "
    "help her here his how i if in into is it its join just keep lead less like look make many may me more most "
    "much must my need new no nor not now of off on one only open or our out over own per run see set she show so "
    "such take than that the their them then they this to too top up us use very was way we well what when who will "
    "with work you your"
)
_FUNCTION = frozenset(_FUNCTION_TEXT.split())
# Ordinary words that name tools and languages as well.
_TOOLS_TEXT = (
    "access acrobat ada angular ant apex arena assembly azure bash basic beam blender canvas chef chrome clipper "
    "cocoa concur confluence crystal cucumber dart delphi edge elastic elixir ember epic excel express flash flask "
    "flex flutter forth gulp hive illustrator impress jest julia keynote lean lotus maple maya mercury mocha monday "
    "motion notion numbers oracle outlook pages pandas pascal pig play postman premiere processing project "
    "publisher puppet quest rails react redshift relay rhino ruby rust sage salt sap scheme scratch sketch slack "
    "snowflake solid spark spring sprint storm swift swing tableau teams unity unreal vault vertex windows word "
    "yarn zoom"
)
_TOOLS = frozenset(_TOOLS_TEXT.split())
ORDINARY = _FUNCTION | _TOOLS

_WORD = re.compile(r"\S+")
_ENDS_RUN = ",;:.!?()[]/|"
# A letter by itself is a name, but not in R&D, C-level, B.Sc., M/F/D, class B or C sharp.
_BEFORE_LETTER = re.compile(
    r"(?:[&'.+#-]\s*|(?<!\w)\w/|\b(?:class|klasse|categor\w+|grade|level|objective|plan|series|type|vitamin)\s+)$", re.I
)
_AFTER_LETTER = re.compile(r"\s*[&'+#]|[.-]\w|/\w(?![\w+#])|\s+sharp\b")
_FURTHER = re.compile(r"\s+[^\W\d_]")
_LOOK_BACK = 12  # characters that the longest word before a letter takes


def own_spellings(name: str, spelt: Collection[str], in_names: Collection[str] = ()) -> frozenset[str] | None:
    """Returns the spellings that a text must have, none where case is ignored; None where the name is not searched.

    Args:
      name: in lower case.
      spelt: its spellings in a taxonomy or a row.
      in_names: words that longer names of the taxonomy have in lower case.

    >>> sorted(own_spellings("go", ["Go"])), sorted(own_spellings("cook", ["Cook"])), own_spellings("go", ["go"])
    (['Go'], [], None)
    """
    capital = frozenset(text for text in spelt if text != text.lower())
    if name in ORDINARY:
        return capital or None
    return capital if (len(name) <= SHORT or name in in_names) and len(capital) == len(spelt) else frozenset()


class Capitals:
    """Says where the capitals of a text say something."""

    def __init__(self, text: str):
        self._text = text

    @cached_property
    def _runs(self) -> tuple[list[int], list[int]]:
        """The start of each word, and of how many words in capitals, with nothing but space between, it is one."""
        starts: list[int] = []
        lengths: list[int] = []
        for run in _in_runs(_WORD.finditer(self._text)):
            starts += [word.start() for word in run]
            lengths += [len(run) if run[0][0].isupper() else 0] * len(run)
        return starts, lengths

    def count(self, start: int, stop: int) -> bool:
        """Returns whether a name in its own spelling is one here.

        It is not in a run of three words in capitals, or of two where it is a word such as IT or US; at the start of
        the text with one capital before further words (Excel in sport); or one letter of a longer name (R&D).
        """
        text, name = self._text, self._text[start:stop]
        if len(name) == 1 and (
            _BEFORE_LETTER.search(text, max(0, start - _LOOK_BACK), start) or _AFTER_LETTER.match(text, stop)
        ):
            return False
        if name.isupper():
            starts, lengths = self._runs
            return lengths[bisect_right(starts, start) - 1] < (2 if name.lower() in _FUNCTION else 3)
        begins = not any(map(str.isalnum, text[:start])) if start < _LOOK_BACK else False
        return not (begins and len(name) > 1 and name.lower() in ORDINARY and _FURTHER.match(text, stop))


def _in_runs(words: Iterable[re.Match[str]]) -> Iterable[list[re.Match[str]]]:
    """Groups words by whether they are in capitals; punctuation ends a group."""
    number, ended = 0, False

    def group(word: re.Match[str]) -> tuple[int, bool]:
        nonlocal number, ended
        number += ended or word[0][0] in _ENDS_RUN
        ended = word[0][-1] in _ENDS_RUN
        return number, word[0].isupper()

    return [list(run) for _, run in groupby(words, group)]
