"""Finds the skills that a text names by their labels and aliases, for a whole taxonomy at once."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple

import ahocorasick_rs

from uwe_jax.data.folding import fold
from uwe_jax.data.scripts import is_boundary, is_dense, is_part
from uwe_jax.sources.taxonomy import Taxonomy

Finder = Callable[[str], list[tuple[str, int, int]]]  # keys of names, their starts and stops

EXACT, ALIAS = "exact", "alias"  # whether a skill was found by its label or by an alias

# Single words that occur in so many labels of other skills are left out: data, design, equipment. Measured on ESCO with
# vacancy sentences: aliases with 4 or more are nearly always wrong (term, current, form), those with fewer mostly right
# (agile 2, Java 1). Labels are chosen with more care than aliases.
COMMON_ALIAS = 4
COMMON_LABEL = 30
SHORT = 3  # characters up to which a name is an abbreviation, and a lower-case alias (tie, did) too short

_WORD = re.compile(r"\w+")
_QUALIFIED = re.compile(r"(.+\S)\s*\([^()]*\)")


class Match(NamedTuple):
    """A skill that a text names."""

    skill: int  # position in the taxonomy
    start: int  # of the span that names it, in characters
    stop: int
    how: str  # exact or alias


class _Term(NamedTuple):
    skill: int
    how: str
    spellings: frozenset[str]  # one of which the text must have; empty if case is ignored
    words: int


class SkillMatcher:
    """Matches labels and aliases of a taxonomy: whole words, the longest name first, ignoring case and typography.

    Curly apostrophes, soft and non-breaking hyphens, ligatures and full-width letters match plain ones; in scripts
    without spaces a name matches within a run of letters (`uwe_jax.data.scripts`).

    A label with a qualifier, such as Java (computer programming), also matches without it. Left out are
      - names of one character (R, C), and lower-case aliases of up to `SHORT` letters of an alphabet,
      - aliases shared by several skills that are not a skill's label,
      - single words that occur in many labels of other skills: aliases from `COMMON_ALIAS`, labels from `COMMON_LABEL`.
    A name with capitals matches only in its own spelling if it is short (IT, Git) or occurs in lower case in other
    names (LESS, Access), and never in a text without lower-case letters.
    """

    def __init__(self, taxonomy: Taxonomy):
        self.left_out: Counter[str] = Counter()  # number of names that are not searched, by reason
        terms = _terms(taxonomy, self.left_out)
        self._terms = list(terms.values())
        self._automaton = ahocorasick_rs.AhoCorasick(list(terms)) if terms else None

    def __len__(self) -> int:
        return len(self._terms)

    def find(self, text: str) -> list[Match]:
        """Returns the skills that a normalised text names, in its order. Spans do not overlap; skills may repeat."""
        if self._automaton is None:
            return []
        plain, low, *_ = folded = fold(text)
        shouted = not any(map(str.islower, text))
        found = []
        for number, start, stop in self._automaton.find_matches_as_indexes(low, overlapping=True):
            term = self._terms[number]
            if term.spellings and (shouted or plain[start:stop] not in term.spellings):
                continue
            if _whole(low, start, stop, single=term.words == 1):
                found.append((start, stop, number))
        return [
            Match(self._terms[number].skill, *folded.span(start, stop), self._terms[number].how)
            for start, stop, number in _longest(found)
        ]


def whole_words(texts: Iterable[str]) -> Finder:
    """Returns a finder of a few names, ignoring case and typography: the key, start and stop of each, longest first.

    >>> whole_words(["Python", "weld metal"])("You weld metal with python3 and Python.")
    [('weld metal', 4, 14), ('python', 32, 38)]
    """
    names = list(dict.fromkeys(filter(None, map(key, texts))))
    if not names:
        return lambda text: []
    automaton = ahocorasick_rs.AhoCorasick(names)

    def find(text: str) -> list[tuple[str, int, int]]:
        folded = fold(text)
        matches = automaton.find_matches_as_indexes(folded.low, overlapping=True)
        found = [(start, stop, k) for k, start, stop in matches if _whole(folded.low, start, stop, single=False)]
        return [(names[number], *folded.span(start, stop)) for start, stop, number in _longest(found)]

    return find


def key(text: str) -> str:
    """Returns the form of a name that its spellings in other case or typography share."""
    return fold(text).low


def _longest(found: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Chooses spans that do not overlap, the longest first, and returns them in the order of the text."""
    taken: list[tuple[int, int, int]] = []
    for span in sorted(found, key=lambda each: (each[0] - each[1], each)):
        if all(span[1] <= start or span[0] >= stop for start, stop, _ in taken):
            taken.append(span)
    return sorted(taken)


def _whole(text: str, start: int, stop: int, *, single: bool) -> bool:
    """Returns whether a span ends at word boundaries; a single word not after a hyphen (long-term is not term)."""
    if start and is_part(text[start]):
        if not is_boundary(text[start - 1], text[start], ends=False):
            return False
        if single and text[start - 1] == "-" and start > 1 and text[start - 2].isalnum():
            return False
    if stop == len(text) or not is_part(text[stop - 1]):
        return True
    return is_boundary(text[stop - 1], text[stop], ends=True) and not (
        text[stop] == "#" or text[stop : stop + 2] == "++"
    )


def _terms(taxonomy: Taxonomy, left_out: Counter[str]) -> dict[str, _Term]:
    """Returns the terms to search by lower-case name."""
    labels: dict[str, set[int]] = defaultdict(set)
    aliases: dict[str, set[int]] = defaultdict(set)
    spellings: dict[str, set[str]] = defaultdict(set)
    for number, skill in enumerate(taxonomy.skills):
        qualified = _QUALIFIED.fullmatch(skill.label)
        for text in (skill.label, *([qualified[1]] if qualified else []), *skill.aliases):
            plain, name, *_ = fold(text)
            (labels if text is skill.label else aliases)[name].add(number)
            spellings[name].add(plain)
    own_words = [set(_WORD.findall(skill.label.lower())) for skill in taxonomy.skills]
    degree = Counter(word for words in own_words for word in words)
    listed = (_WORD.findall(text) for texts in spellings.values() for text in texts)
    ordinary = {word for words in listed if len(words) > 1 for word in words if word.islower()}

    terms = {}
    for name, spelt in spellings.items():
        owners, how = (labels[name], EXACT) if labels.get(name) else (aliases[name], ALIAS)
        if len(owners) > 1:
            left_out["carried by several skills"] += 1
            continue
        (number,) = owners
        words = _WORD.findall(name)
        small = any(text == text.lower() for text in spelt)
        brief = len(name) <= SHORT and not is_dense(name)
        if len(name) < 2 or not words or (how == ALIAS and small and brief):
            left_out["too short"] += 1
        elif len(words) == 1 and degree[words[0]] - (words[0] in own_words[number]) >= (
            COMMON_LABEL if how == EXACT else COMMON_ALIAS
        ):
            left_out["too common"] += 1
        else:
            as_spelt = not small and (brief or name in ordinary)
            terms[name] = _Term(number, how, frozenset(spelt) if as_spelt else frozenset(), len(words))
    return terms
