"""Turns vacancies into edges: titles with the skills of their vacancy, sentences with the skills named in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from uwe_jax.data.text import normalise
from uwe_jax.sources.matching import ALIAS, EXACT, Finder, SkillMatcher, lower, whole_words
from uwe_jax.sources.taxonomy import Taxonomy
from uwe_jax.sources.vacancies.cleaning import plain_text
from uwe_jax.sources.vacancies.columns import Vacancy
from uwe_jax.sources.vacancies.sentences import MAX_CHARACTERS, MIN_WORDS, cut_sentences, length_problem

GIVEN, MODEL = "given", "model"
RELATIONS = (GIVEN, EXACT, ALIAS, MODEL)  # how a skill came to a text: by its row, by its name, by a model
JOB, VACANCY, SENTENCES = "skill_job", "skill_vacancy", "sentences"
# What is counted. The second group are texts that give no edge.
ROWS, OWN, LINKED, UNLINKED = (
    "rows",
    "rows with skills of their own",
    "own skills linked",
    "own skills kept as they are",
)
SENTENCES_READ, NAMED, UNNAMED = "sentences", "sentences that name a skill", "sentences that name no skill"
SHORT, LONG = "sentences too short, left out", "sentences too long, left out"
NO_TITLE, LONG_TITLE, NO_SKILL = "rows without a title", "titles too long, left out", "rows without a skill"
REPEATED = "edges of an equal title or sentence, left out"
LEFT_OUT = (NO_TITLE, LONG_TITLE, NO_SKILL, SHORT, LONG, REPEATED, UNNAMED)
_MAX_TITLE = 300  # characters

_Found = tuple[str, str, str, str]  # label, id, how and span


@dataclass(frozen=True)
class TagSettings:
    """What becomes of a vacancy.

    Attributes:
      language: of the descriptions, for the cutting into sentences.
      min_words: a shorter sentence is no example of a skill; the skills in it still count for the title.
      max_characters: of a sentence, likewise.
      aliases: whether texts are searched for the other names of skills too; a row's own skill may always be one.
      keep_sentences: for a model to read: none, untagged (where nothing was found) or all.
    """

    language: str = "en"
    min_words: int = MIN_WORDS
    max_characters: int = MAX_CHARACTERS
    aliases: bool = True
    keep_sentences: str = "none"


class Tagged(NamedTuple):
    """An edge, with how sure it is and what it was found by."""

    left: str  # the skill
    right: str  # the title or sentence
    relation: str  # of `RELATIONS`
    left_id: str
    right_id: str
    score: float  # 1 unless a model gave it
    span: str  # of the text that names the skill; "" where none does


class Sentence(NamedTuple):
    """A sentence that a model is to read.

    Attributes:
      text: of the sentence.
      title: of its vacancy, which takes over the skills of the sentence; "" where it is not to.
      id: of its vacancy.
      known: skills it is tagged with.
      row: of its vacancy in the chunk, from 1.
      bare: its vacancy has no skill by name.
    """

    text: str
    title: str
    id: str
    known: list[str]
    row: int
    bare: bool


class VacancyTagger:
    """Tags vacancies one by one and counts what it does.

    Args:
      taxonomy: None where every vacancy brings its skills, which then stand for themselves.
      settings: see `TagSettings`.
    """

    def __init__(self, taxonomy: Taxonomy | None, settings: TagSettings):
        self._skills = taxonomy.skills if taxonomy else ()
        self._matcher = SkillMatcher(taxonomy) if taxonomy else None
        self._by_label = {lower(skill.label): number for number, skill in enumerate(self._skills)}
        self._settings = settings

    def tag(self, vacancy: Vacancy, counts: Counter[str]) -> Iterator[tuple[str, Tagged | Sentence]]:
        """The edges of a vacancy, under `JOB` and `VACANCY`, and under `SENTENCES` what a model is to read."""
        title = normalise(plain_text(vacancy.title))
        if not title or len(title) > _MAX_TITLE:
            counts[LONG_TITLE if title else NO_TITLE] += 1
            title = ""
        given = self._link(vacancy.skills or [], counts)
        counts[ROWS] += 1
        counts[OWN] += bool(given)
        named = whole_words(text for text, (label, _) in given.items() for text in (text, label))
        by_name = {lower(name): skill for text, skill in given.items() for name in (text, skill[0])}
        found: dict[str, Tagged] = {}
        for left, left_id in given.values():
            found[left] = Tagged(left, title, GIVEN, left_id, vacancy.id, 1.0, "")
        to_read: list[Sentence] = []
        texts = cut_sentences(plain_text(vacancy.description), self._settings.language)
        for text in (title, *texts) if title and not given else texts:
            skills = self._skills_of(text, named, by_name)
            if not given:
                for left, left_id, how, span in skills:
                    found.setdefault(left, Tagged(left, title, how, left_id, vacancy.id, 1.0, span))
            if text is title:
                continue
            problem = length_problem(text, self._settings.min_words, self._settings.max_characters)
            if problem:
                counts[LONG if problem == "long" else SHORT] += 1
                continue
            counts[SENTENCES_READ] += 1
            counts[NAMED if skills else UNNAMED] += 1
            for left, left_id, how, span in skills:
                yield VACANCY, Tagged(left, text, how, left_id, vacancy.id, 1.0, span)
            if self._settings.keep_sentences == "all" or (self._settings.keep_sentences == "untagged" and not skills):
                known = [left for left, *_ in skills]
                to_read.append(Sentence(text, "" if given else title, vacancy.id, known, counts[ROWS], False))
        counts[NO_SKILL] += not found
        yield from ((SENTENCES, sentence._replace(bare=not found)) for sentence in to_read)
        if title:
            yield from ((JOB, edge) for edge in found.values())

    def _link(self, skills: list[str], counts: Counter[str]) -> dict[str, tuple[str, str]]:
        """Label and id of the skills of a row: the taxonomy's where it has a skill of that name, else its own."""
        linked: dict[str, tuple[str, str]] = {}
        for skill in filter(None, map(normalise, skills)):
            number = self._by_label.get(lower(skill))
            if number is None and self._matcher is not None:
                whole = [match for match in self._matcher.find(skill) if match.stop - match.start == len(skill)]
                number = whole[0].skill if whole else None
            counts[UNLINKED if number is None else LINKED] += 1
            linked[skill] = (skill, "") if number is None else (self._skills[number].label, self._skills[number].id)
        return linked

    def _skills_of(self, text: str, named: Finder, by_name: Mapping[str, tuple[str, str]]) -> list[_Found]:
        """Label, id, how and span of the distinct skills named in a text, those of its row first."""
        found: dict[str, _Found] = {}
        taken = []
        for name, start, stop in named(text):
            left, left_id = by_name[name]
            found.setdefault(left, (left, left_id, GIVEN, text[start:stop]))
            taken.append((start, stop))
        matches = self._matcher.find(text) if self._matcher else []
        for match in sorted(matches, key=lambda match: match.how != EXACT):  # a label before an alias of the same skill
            if match.how == ALIAS and not self._settings.aliases:
                continue
            if all(match.stop <= start or match.start >= stop for start, stop in taken):
                skill = self._skills[match.skill]
                found.setdefault(skill.label, (skill.label, skill.id, match.how, text[match.start : match.stop]))
        return list(found.values())
