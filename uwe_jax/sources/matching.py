"""Finds the skills that a text names by their labels and aliases, for a whole taxonomy at once."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple

import ahocorasick_rs

from uwe_jax.sources.taxonomy import Taxonomy

Finder = Callable[[str], list[tuple[str, int, int]]]  # lower-case names, their starts and stops

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
    """Matches labels and aliases of a taxonomy: whole words, the longest name first, ignoring case.

    A label with a qualifier, such as Java (computer programming), also matches without it. Left out are
      - names of one character (R, C), and lower-case aliases of up to `SHORT` characters,
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
        low = lower(text)
        shouted = not any(map(str.islower, text))
        found = []
        for number, start, stop in self._automaton.find_matches_as_indexes(low, overlapping=True):
            term = self._terms[number]
            if term.spellings and (shouted or text[start:stop] not in term.spellings):
                continue
            if _whole(low, start, stop, single=term.words == 1):
                found.append((start - stop, start, stop, term))
        found.sort(key=lambda each: each[:3])
        taken: list[Match] = []
        for _, start, stop, term in found:
            if all(stop <= match.start or start >= match.stop for match in taken):
                taken.append(Match(term.skill, start, stop, term.how))
        return sorted(taken, key=lambda match: match.start)


def whole_words(texts: Iterable[str]) -> Finder:
    """Returns a finder of a few names, ignoring case: the lower-case name, start and stop of each, longest first.

    >>> whole_words(["Python", "weld metal"])("You weld metal with python3 and Python.")
    [('weld metal', 4, 14), ('python', 32, 38)]
    """
    names = sorted({lower(text) for text in texts if text}, key=lambda name: (-len(name), name))
    if not names:
        return lambda text: []
    pattern = re.compile("|".join(rf"{_edge(name[0], '<!')}{re.escape(name)}{_edge(name[-1], '!')}" for name in names))
    return lambda text: [(match[0], match.start(), match.end()) for match in pattern.finditer(lower(text))]


def _edge(character: str, look: str) -> str:
    return rf"(?{look}\w)" if character.isalnum() else ""


def lower(text: str) -> str:
    """Converts to lower case, except letters that would become two: the length stays."""
    low = text.lower()
    if len(low) == len(text):
        return low
    return "".join(small if len(small := each.lower()) == 1 else each for each in text)


def _whole(text: str, start: int, stop: int, *, single: bool) -> bool:
    """Returns whether a span ends at word boundaries; a single word not after a hyphen (long-term is not term)."""
    if start and text[start].isalnum():
        before = text[start - 1]
        if before.isalnum() or before == "_":
            return False
        if single and before == "-" and start > 1 and text[start - 2].isalnum():
            return False
    if stop == len(text):
        return True
    after = text[stop]
    return not (text[stop - 1].isalnum() and (after.isalnum() or after in "_#" or text[stop : stop + 2] == "++"))


def _terms(taxonomy: Taxonomy, left_out: Counter[str]) -> dict[str, _Term]:
    """Returns the terms to search by lower-case name."""
    labels: dict[str, set[int]] = defaultdict(set)
    aliases: dict[str, set[int]] = defaultdict(set)
    spellings: dict[str, set[str]] = defaultdict(set)
    for number, skill in enumerate(taxonomy.skills):
        qualified = _QUALIFIED.fullmatch(skill.label)
        for text in (skill.label, *([qualified[1]] if qualified else []), *skill.aliases):
            name = lower(text)
            (labels if text is skill.label else aliases)[name].add(number)
            spellings[name].add(text)
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
        if len(name) < 2 or not words or (how == ALIAS and small and len(name) <= SHORT):
            left_out["too short"] += 1
        elif len(words) == 1 and degree[words[0]] - (words[0] in own_words[number]) >= (
            COMMON_LABEL if how == EXACT else COMMON_ALIAS
        ):
            left_out["too common"] += 1
        else:
            as_spelt = not small and (len(name) <= SHORT or name in ordinary)
            terms[name] = _Term(number, how, frozenset(spelt) if as_spelt else frozenset(), len(words))
    return terms
