"""Finds the skills that a text names by their labels and aliases, for a whole taxonomy at once."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import ahocorasick_rs

from uwe_jax.data.folding import Folded, fold
from uwe_jax.data.scripts import is_boundary, is_dense, is_part
from uwe_jax.sources.spelling import ORDINARY, SHORT, Capitals, own_spellings
from uwe_jax.sources.taxonomy import Taxonomy

VERSION = 2  # raise it whenever texts name other skills than before, or prepared edges are outdated
Finder = Callable[[str], list[tuple[str, int, int]]]  # keys of names, their starts and stops

EXACT, ALIAS = "exact", "alias"  # whether a skill was found by its label or by an alias

# Single words that occur in so many labels of other skills are left out: data, design, equipment. Measured on ESCO with
# vacancy sentences: aliases with 4 or more are nearly always wrong (term, current, form), those with fewer mostly right
# (agile 2, Java 1). Labels are chosen with more care than aliases.
COMMON_ALIAS = 4
COMMON_LABEL = 30

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
      - aliases of one character, and lower-case ones of up to `SHORT` letters of an alphabet (tie, did),
      - ordinary words in lower case,
      - aliases shared by several skills that are not a skill's label,
      - single words that occur in many labels of other skills: aliases from `COMMON_ALIAS`, labels from `COMMON_LABEL`.
    A name with capitals matches only in its own spelling if it is short (IT, Git, R), an ordinary word (Excel) or
    occurs in lower case in other names (LESS), and only where capitals say something (`uwe_jax.sources.spelling`).
    """

    def __init__(self, taxonomy: Taxonomy):
        self.left_out: Counter[str] = Counter()  # number of names that are not searched, by reason
        self._in_names = _lower_words(taxonomy)
        terms = _terms(taxonomy, self._in_names, self.left_out)
        self._terms = list(terms.values())
        self._automaton = ahocorasick_rs.AhoCorasick(list(terms)) if terms else None
        self._named = dict(terms)
        for number, skill in enumerate(taxonomy.skills):
            plain, name, *_ = fold(skill.label)
            own = own_spellings(name, [plain], self._in_names) or frozenset()
            self._named[name] = _Term(number, EXACT, own, 0)

    def __len__(self) -> int:
        return len(self._terms)

    def find(self, text: str) -> list[Match]:
        """Returns the skills that a normalised text names, in its order. Spans do not overlap; skills may repeat."""
        folded = fold(text)
        found = _found(self._automaton, folded, self._terms, single=True)
        return [
            Match(self._terms[number].skill, *folded.span(start, stop), self._terms[number].how)
            for start, stop, number in _longest(found)
        ]

    def named(self, text: str) -> int | None:
        """Returns the skill that a row's text names as a whole, or None.

        All labels count, and the aliases that are searched; an ordinary word or a letter in its own spelling.
        """
        plain, name, *_ = fold(text)
        term = self._named.get(name)
        if term is None or not term.spellings or plain in term.spellings:
            return term and term.skill
        return None if len(name) == 1 or name in ORDINARY or name in self._in_names else term.skill


def whole_words(texts: Iterable[str]) -> Finder:
    """Returns a finder of a few names, ignoring case and typography: the key, start and stop of each, longest first.

    Short and ordinary words are found in their own spelling alone, as by `SkillMatcher`.

    >>> whole_words(["Python", "weld metal", "Go"])("You weld metal with python3 and Python, and go on.")
    [('weld metal', 4, 14), ('python', 32, 38)]
    """
    spellings: dict[str, set[str]] = defaultdict(set)
    for plain, name, *_ in map(fold, texts):
        if name:
            spellings[name].add(plain)
    terms = {
        name: _Term(0, "", own, 0)
        for name, spelt in spellings.items()
        if (own := own_spellings(name, spelt) if name.isalpha() else frozenset()) is not None
    }
    names, searched = list(terms), list(terms.values())
    automaton = ahocorasick_rs.AhoCorasick(names) if names else None

    def find(text: str) -> list[tuple[str, int, int]]:
        folded = fold(text)
        found = _found(automaton, folded, searched, single=False)
        return [(names[number], *folded.span(start, stop)) for start, stop, number in _longest(found)]

    return find


def _found(
    automaton: ahocorasick_rs.AhoCorasick | None, folded: Folded, terms: list[_Term], *, single: bool
) -> Iterator[tuple[int, int, int]]:
    """Yields start, stop and number of the terms that are whole words, and in their own spelling where necessary."""
    plain, low, *_ = folded
    capitals = Capitals(plain)
    for number, start, stop in automaton.find_matches_as_indexes(low, overlapping=True) if automaton else ():
        term = terms[number]
        if term.spellings and plain[start:stop] not in term.spellings:
            continue
        whole = _whole(low, start, stop, single=single and term.words == 1)
        if whole and (not term.spellings or capitals.count(start, stop)):
            yield start, stop, number


def key(text: str) -> str:
    """Returns the form of a name that its spellings in other case or typography share."""
    return fold(text).low


def _longest(found: Iterable[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Chooses spans that do not overlap, the longest first, and returns them in the order of the text."""
    spans = sorted(found, key=lambda each: (each[0] - each[1], each))
    taken = bytearray(max((stop for _, stop, _ in spans), default=0))
    chosen = []
    for start, stop, number in spans:
        if not (taken[start] or taken[stop - 1]):  # what was taken is as long, and would reach an end
            taken[start:stop] = b"\1" * (stop - start)
            chosen.append((start, stop, number))
    return sorted(chosen)


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


def _lower_words(taxonomy: Taxonomy) -> set[str]:
    """Returns the words that names of several words have in lower case."""
    names = (_WORD.findall(fold(text).text) for skill in taxonomy.skills for text in (skill.label, *skill.aliases))
    return {word for words in names if len(words) > 1 for word in words if word.islower()}


def _terms(taxonomy: Taxonomy, in_names: set[str], left_out: Counter[str]) -> dict[str, _Term]:
    """Returns the terms to search by lower-case name."""
    labels: dict[str, set[int]] = defaultdict(set)
    aliases: dict[str, set[int]] = defaultdict(set)
    spellings: dict[str, set[str]] = defaultdict(set)
    qualified: set[str] = set()
    for number, skill in enumerate(taxonomy.skills):
        bare = [found[1]] if (found := _QUALIFIED.fullmatch(skill.label)) else []
        qualified.update(fold(text).low for text in bare)
        for text in (skill.label, *bare, *skill.aliases):
            plain, name, *_ = fold(text)
            (labels if text is skill.label else aliases)[name].add(number)
            spellings[name].add(plain)
    own_words = [set(_WORD.findall(skill.label.lower())) for skill in taxonomy.skills]
    degree = Counter(word for words in own_words for word in words)

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
        own = own_spellings(name, spelt, in_names)
        letter = len(name) < 2 and not (own and (how == EXACT or name in qualified))
        if letter or not words or (how == ALIAS and small and brief):
            left_out["too short"] += 1
        elif own is None:
            left_out["ordinary in lower case"] += 1
        elif len(words) == 1 and degree[words[0]] - (words[0] in own_words[number]) >= (
            COMMON_LABEL if how == EXACT else COMMON_ALIAS
        ):
            left_out["too common"] += 1
        else:
            terms[name] = _Term(number, how, own, len(words))
    return terms
