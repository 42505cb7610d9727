"""Quality filters for new texts."""

from __future__ import annotations

import functools
import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import InitVar, dataclass
from typing import Any, NamedTuple

import numpy as np

from uwe_jax.curation.enrich.copies import Texts, copied_from
from uwe_jax.curation.enrich.generators import Candidate, Rejected
from uwe_jax.curation.enrich.settings import CheckSettings, library
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.evaluation.lexical import words
from uwe_jax.evaluation.measure import scored
from uwe_jax.evaluation.ranker import Ranker, Score
from uwe_jax.runtime.errors import UserError

# The language of shorter texts cannot be identified.
LEAST_WORDS = 4


@functools.cache
def _identifier() -> Any:
    langid = library("py3langid.langid")
    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)


class LanguageCheck:
    """Recognises texts in another language at a probability above `certainty`.

    Raises:
      UserError: the library is not installed, or does not know the language (an ISO 639-1 code).
    """

    def __init__(self, language: str, certainty: float):
        self._identifier = _identifier()
        self._language, self._certainty = language, certainty
        if language not in self._identifier.labels:
            raise UserError(
                f"language is {language!r}, which is not recognised. Expected one of "
                f"{', '.join(sorted(self._identifier.labels))}; checks.language_certainty=1 switches the check off."
            )

    def wrong(self, text: str) -> str:
        """Returns the other language of a text with its probability; empty for none, or too few words."""
        if len(words(text)) < LEAST_WORDS:
            return ""
        language, probability = self._identifier.classify(text)
        if language == self._language or probability <= self._certainty:
            return ""
        return f"{language} at {probability:.2f}"


# Words of a text, at least and at most.
LENGTHS = {"vacancy": (4, 80), "job": (1, 14), "alias": (1, 14)}

Reason = tuple[str, str] | None  # why a text is refused, and a detail; None where it is accepted


class Nearness(NamedTuple):
    """Scores of a text with its skill and with the nearest other skill."""

    score_skill: float  # with its skill
    score_sibling: float  # highest with another skill
    sibling: int  # position of that skill
    rank: int  # of its skill among all skills for the text, from 1 on


class SkillIndex:
    """Ranks all skills, at least two, for texts; indexed when the first text comes, and with a cache."""

    def __init__(self, ranker: Ranker, skills: Sequence[str]):
        self._ranker = ranker
        self._skills = skills
        self._score: Score | None = None
        self._known: dict[tuple[str, int], Nearness] = {}

    def measure(self, texts: Sequence[str], skills: Sequence[int]) -> list[Nearness]:
        """Measures texts, each against its skill, by position, and all others."""
        pairs = list(zip(texts, skills, strict=True))
        missing = [pair for pair in dict.fromkeys(pairs) if pair not in self._known]
        if missing:
            self._score = self._score or self._ranker.index(self._skills)
            where = f"{self._ranker.name} on new texts"
            rows = itertools.chain.from_iterable(
                scored(self._score, [text for text, _ in missing], len(self._skills), where)
            )
            for pair, row in zip(missing, rows, strict=True):
                others = row.copy()
                others[pair[1]] = -np.inf
                sibling, own = int(others.argmax()), row[pair[1]]
                rank = 1 + int((others > own).sum())
                self._known[pair] = Nearness(float(own), float(others[sibling]), sibling, rank)
        return [self._known[pair] for pair in pairs]


@dataclass
class Checker:
    """Checks new texts, deterministically and without sending requests; their language where `language` is given."""

    settings: CheckSettings
    graphs: GraphSet
    evaluation: Texts
    ranker: InitVar[Ranker]
    language: LanguageCheck | None

    def __post_init__(self, ranker: Ranker) -> None:
        self._index = SkillIndex(ranker, self.graphs.skills)
        self._skills = Texts(self.graphs.skills)
        self._known = {kind: Texts(graph.neighbours) for kind, graph in self.graphs.graphs.items()}

    def check(self, candidates: Sequence[Candidate]) -> tuple[list[tuple[Candidate, Nearness]], list[Rejected]]:
        """Returns accepted texts with their nearness, and rejected ones; of two similar texts the first is accepted."""
        reasons = [self._alone(each) for each in candidates]
        left = [each for each, reason in zip(candidates, reasons, strict=True) if not reason]
        measured = iter(self._index.measure([each.text for each in left], [each.request.skill for each in left]))
        accepted, rejected = [], []
        of_kind: dict[str, Texts] = defaultdict(Texts)
        of_skill: dict[tuple[str, int], list[str]] = defaultdict(list)
        for candidate, reason in zip(candidates, reasons, strict=True):
            request, text = candidate.request, candidate.text
            if not reason:
                near, before = next(measured), of_skill[request.kind, request.skill]
                reason = self._too_far(request.kind, near)
                # A job title may serve several skills, a sentence or an alias only one.
                if not reason and request.kind != "job" and text in of_kind[request.kind]:
                    reason = "taken before", "equal to another new text"
                if not reason and (copied := copied_from(text, before, self.settings.max_overlap)):
                    reason = "taken before", f"{copied}, of another text for the skill"
            if reason:
                rejected.append(Rejected(request.kind, request.label, text, *reason, candidate.answer_key))
            else:
                of_kind[request.kind].add(text)
                before.append(text)
                accepted.append((candidate, near))
        return accepted, rejected

    def _alone(self, candidate: Candidate) -> Reason:
        """Checks a text by itself, without nearness and the other new texts."""
        request, text = candidate.request, candidate.text
        if candidate.surplus:
            return "more texts than asked for", f"{request.count} were asked for"
        least, most = LENGTHS[request.kind]
        if not least <= (length := len(words(text))) <= most:
            return "length", f"{length} words; {least} to {most} are allowed"
        if self.language and (other := self.language.wrong(text)):
            return "language", other
        if text in self._skills:
            return "label of a skill", ""
        shown = [each.text for each in (*request.sentences, *request.titles) if candidate.generator != "template"]
        if copied := copied_from(text, shown, self.settings.max_overlap, self.settings.max_run):
            return "copy of an example", copied
        if text in self._known.get(request.kind, ()):
            return "in the graph already", ""
        if copied := self.evaluation.copied(text):
            return "copy of an evaluation text", copied
        return None

    def _too_far(self, kind: str, near: Nearness) -> Reason:
        settings = self.settings
        least, most, allowed = (
            getattr(each, kind) for each in (settings.min_score, settings.max_rank, settings.max_lead)
        )
        if near.score_skill < least:
            return "not near enough to its skill", f"{near.score_skill:.3f}; at least {least:g} is required"
        if near.rank > most:
            return "nearer to other skills", f"its skill is at rank {near.rank}; up to {most} is allowed"
        if (lead := near.score_sibling - near.score_skill) > allowed:
            sibling = self.graphs.skills[near.sibling]
            return "nearer to other skills", f"{lead:.3f} nearer to {sibling!r}; up to {allowed:g} is allowed"
        return None
