"""Turns vacancies into edges: titles with the skills of their vacancy, sentences with the skills named in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from uwe_jax.data.text import normalise
from uwe_jax.sources.matching import ALIAS, EXACT, Finder, SkillMatcher, key, whole_words
from uwe_jax.sources.taxonomy import Taxonomy
from uwe_jax.sources.vacancies.files import Vacancy
from uwe_jax.sources.vacancies.lines import LINES, Found, VacancyLine
from uwe_jax.sources.vacancies.sentences import MAX_CHARACTERS, MIN_WORDS, cut_sentences, length_problem, plain_text

GIVEN, MODEL = "given", "model"
RELATIONS = (GIVEN, EXACT, ALIAS, MODEL)  # source of a skill: the row, its name in the text, or a model
JOB, VACANCY, SENTENCES = "skill_job", "skill_vacancy", "sentences"
# Counters. Those of `LEFT_OUT` count texts without an edge.
ROWS, OWN = "rows", "rows with skills of their own"
LINKED, UNLINKED = "own skills linked", "own skills kept as they are"
SENTENCES_READ, NAMED, UNNAMED = "sentences", "sentences that name a skill", "sentences that name no skill"
SHORT, LONG = "sentences too short, left out", "sentences too long, left out"
NO_TITLE, LONG_TITLE, NO_SKILL = "rows without a title", "titles too long, left out", "rows without a skill"
SKILLS = "skills of rows"
REPEATED = "edges of an equal title or sentence, left out"
# With the words of a note: its noun, and the rest.
LEFT_OUT = {
    NO_TITLE: ("row", "without a title"),
    LONG_TITLE: ("title", "too long, left out"),
    NO_SKILL: ("row", "without a skill"),
    SHORT: ("sentence", "too short, left out"),
    LONG: ("sentence", "too long, left out"),
    REPEATED: ("edge", "of an equal title or sentence, left out"),
    UNNAMED: ("sentence", "without the name of a skill"),
}
_MAX_TITLE = 300  # characters


@dataclass(frozen=True)
class TagSettings:
    """Settings of the tagging."""

    language: str = "en"  # of the descriptions, for the splitting into sentences
    min_words: int = MIN_WORDS  # of a sentence; skills of shorter or longer ones count for the title alone
    max_characters: int = MAX_CHARACTERS
    aliases: bool = True  # are searched for too; skills of a row are always linked by them
    keep_sentences: str = "none"  # for a model to read: none, untagged (those without a skill) or all
    lines: bool = True  # write one per vacancy


class Tagged(NamedTuple):
    """An edge with its score and span."""

    left: str  # the skill
    right: str  # the title or sentence
    relation: str  # of `RELATIONS`
    left_id: str
    right_id: str
    score: float  # 1 unless a model gave it
    span: str  # of the text that names the skill; "" if none does


class Sentence(NamedTuple):
    """A sentence for a model to read."""

    text: str
    title: str  # of its vacancy, if the skills of the sentence apply to it; else ""
    id: str  # of its vacancy
    known: list[str]  # skills it is tagged with
    row: int  # of its vacancy in the chunk, from 1
    bare: bool  # its vacancy has no skill yet


class VacancyTagger:
    """Tags vacancies one by one. Without a taxonomy their own skills are kept as they are."""

    def __init__(self, taxonomy: Taxonomy | None, settings: TagSettings):
        self._skills = taxonomy.skills if taxonomy else ()
        self._matcher = SkillMatcher(taxonomy) if taxonomy else None
        self._settings = settings

    def tag(
        self, vacancy: Vacancy, counts: Counter[str], row: str = ""
    ) -> Iterator[tuple[str, Tagged | Sentence | VacancyLine]]:
        """Yields edges, with `JOB` or `VACANCY`, sentences, with `SENTENCES`, and the vacancy's line, with `LINES`.

        Args:
          vacancy: of the row.
          counts: is updated.
          row: its file and line.
        """
        settings = self._settings
        title = shown = normalise(plain_text(vacancy.title))
        if not title or len(title) > _MAX_TITLE:
            counts[LONG_TITLE if title else NO_TITLE] += 1
            title = ""
        given = self._link(vacancy.skills or [], counts)
        counts[ROWS] += 1
        counts[OWN] += bool(given)
        by_name = {key(name): skill for text, skill in given.items() for name in (text, skill[0])}
        named = whole_words(text for text, (label, _) in given.items() for text in (text, label))
        found = {left: Tagged(left, title, GIVEN, left_id, vacancy.id, 1.0, "") for left, left_id in given.values()}
        skills = {left: edge._replace(right="") for left, edge in found.items()}  # with the texts that name them
        to_read: list[Sentence] = []
        texts = cut_sentences(plain_text(vacancy.description), settings.language)
        for text in (title, *texts) if title and not given else texts:
            edges = self._edges(text, vacancy.id, named, by_name)
            if not given:
                for edge in edges:
                    found.setdefault(edge.left, edge._replace(right=title))
            for edge in edges:
                before = skills.get(edge.left)
                if before is None or not before.right:
                    skills[edge.left] = edge._replace(relation=before.relation) if before else edge
            if text is title:
                continue
            if problem := length_problem(text, settings.min_words, settings.max_characters):
                counts[LONG if problem == "long" else SHORT] += 1
                continue
            counts[SENTENCES_READ] += 1
            counts[NAMED if edges else UNNAMED] += 1
            yield from ((VACANCY, edge) for edge in edges)
            if settings.keep_sentences == "all" or (settings.keep_sentences == "untagged" and not edges):
                known = [edge.left for edge in edges]
                to_read.append(Sentence(text, "" if given else title, vacancy.id, known, counts[ROWS], False))
        counts[NO_SKILL] += not found
        counts[SKILLS] += len(skills)
        yield from ((SENTENCES, sentence._replace(bare=not found)) for sentence in to_read)
        if title:
            yield from ((JOB, edge) for edge in found.values())
        if settings.lines:
            listed = [
                Found(edge.left_id, edge.left, edge.relation, None, edge.score, edge.right, edge.span)
                for edge in skills.values()
            ]
            yield LINES, VacancyLine(vacancy.id, row, shown, listed)

    def _link(self, skills: list[str], counts: Counter[str]) -> dict[str, tuple[str, str]]:
        """Returns label and id per skill of a row: those of the taxonomy if it has the name, else the text itself."""
        linked: dict[str, tuple[str, str]] = {}
        for skill in filter(None, map(normalise, skills)):
            number = self._matcher.named(skill) if self._matcher else None
            counts[UNLINKED if number is None else LINKED] += 1
            linked[skill] = (skill, "") if number is None else (self._skills[number].label, self._skills[number].id)
        return linked

    def _edges(self, text: str, id: str, named: Finder, by_name: Mapping[str, tuple[str, str]]) -> list[Tagged]:
        """Returns the edges of a text with the distinct skills named in it, those of its row first."""
        found: dict[str, Tagged] = {}
        taken = bytearray(len(text))
        for name, start, stop in named(text):
            left, left_id = by_name[name]
            found.setdefault(left, Tagged(left, text, GIVEN, left_id, id, 1.0, text[start:stop]))
            taken[start:stop] = b"\1" * (stop - start)
        matches = self._matcher.find(text) if self._matcher else []
        for match in sorted(matches, key=lambda match: match.how != EXACT):  # a label before an alias of the same skill
            if match.how == ALIAS and not self._settings.aliases:
                continue
            if taken.find(1, match.start, match.stop) < 0:
                skill, span = self._skills[match.skill], text[match.start : match.stop]
                found.setdefault(skill.label, Tagged(skill.label, text, match.how, skill.id, id, 1.0, span))
        return list(found.values())
