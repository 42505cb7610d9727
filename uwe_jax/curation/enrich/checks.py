"""Which new texts are taken."""

from __future__ import annotations

from collections.abc import Sequence

from uwe_jax.curation.enrich.candidates import Accepted, Candidate, Rejected
from uwe_jax.curation.enrich.copies import Texts, overlap
from uwe_jax.curation.enrich.evaluation_texts import EvaluationTexts
from uwe_jax.curation.enrich.language import LanguageCheck
from uwe_jax.curation.enrich.nearness import Nearness, SkillSpace
from uwe_jax.curation.enrich.settings import CheckSettings
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.evaluation.lexical import words
from uwe_jax.evaluation.ranker import Ranker

# Words of a text, at least and at most.
LENGTHS = {"vacancy": (4, 80), "job": (1, 14), "alias": (1, 14)}


class Checker:
    """Checks new texts. What it finds hangs on the texts and the settings alone, so checking again asks nobody.

    Args:
      settings: the thresholds.
      graphs: that are enriched.
      evaluation: texts that must not come back.
      ranker: measures nearness.
      language: of the texts; None where it is not checked.
    """

    def __init__(
        self,
        settings: CheckSettings,
        graphs: GraphSet,
        evaluation: EvaluationTexts,
        ranker: Ranker,
        language: LanguageCheck | None,
    ):
        self._settings = settings
        self._graphs = graphs
        self._evaluation = evaluation
        self._language = language
        self._space = SkillSpace(ranker, graphs.skills)
        self._skills = Texts(graphs.skills)
        self._known = {kind: Texts(graph.neighbours) for kind, graph in graphs.graphs.items()}

    def check(self, candidates: Sequence[Candidate]) -> tuple[list[Accepted], list[Rejected]]:
        """Sorts texts out; of two that are too much alike the first is taken.

        Args:
          candidates: in the order of the requests.

        Returns:
          Those that are taken, and the others, each in the order given.
        """
        rejected: dict[int, Rejected] = {}
        for number, candidate in enumerate(candidates):
            if found := self._by_itself(candidate):
                rejected[number] = _reject(candidate, *found)
        left = [number for number in range(len(candidates)) if number not in rejected]
        measured = self._space.measure(
            [candidates[number].text for number in left], [candidates[number].request.skill for number in left]
        )
        accepted: list[Accepted] = []
        taken = _Taken(self._settings.max_overlap)
        for number, near in zip(left, measured, strict=True):
            candidate = candidates[number]
            if found := self._too_far(candidate.request.kind, near) or taken.again(candidate):
                rejected[number] = _reject(candidate, *found)
                continue
            taken.add(candidate)
            accepted.append(Accepted(candidate, near.own, near.other, self._graphs.skills[near.sibling], near.rank))
        return accepted, [rejected[number] for number in sorted(rejected)]

    def _by_itself(self, candidate: Candidate) -> tuple[str, str] | None:
        """Why a text is not taken, whatever else is: the reason and what was found; None where nothing is wrong."""
        request, text = candidate.request, candidate.text
        if candidate.surplus:
            return "more texts than asked for", f"{request.count} were asked for"
        least, most = LENGTHS[request.kind]
        if not least <= (length := len(words(text))) <= most:
            return "length", f"{length} words; {least} to {most} are taken"
        if self._language and (other := self._language.wrong(text)):
            return "language", other
        if text in self._skills:
            return "label of a skill", ""
        if candidate.generator != "template" and (copied := self._copied_example(candidate)):
            return "copy of an example", copied
        if request.kind in self._known and text in self._known[request.kind]:
            return "in the graph already", ""
        if copied := self._evaluation.copied(text):
            return "copy of an evaluation text", copied
        return None

    def _copied_example(self, candidate: Candidate) -> str:
        examples = [each.text for each in (*candidate.request.sentences, *candidate.request.titles)]
        if copied := Texts(examples, self._settings.max_run).copied(candidate.text):
            return copied
        share = max((overlap(candidate.text, example) for example in examples), default=0.0)
        return f"{share:.2f} of its words" if share >= self._settings.max_overlap else ""

    def _too_far(self, kind: str, near: Nearness) -> tuple[str, str] | None:
        least = getattr(self._settings.min_score, kind)
        if near.own < least:
            return "not near enough to its skill", f"{near.own:.3f}; at least {least:g} is taken"
        most = self._settings.max_rank.of(kind)
        if near.rank > most:
            return "nearer to other skills", f"its skill is number {near.rank}; up to {most} is taken"
        lead, allowed = near.other - near.own, getattr(self._settings.max_lead, kind)
        if lead > allowed:
            sibling = self._graphs.skills[near.sibling]
            return "nearer to other skills", f"{lead:.3f} nearer to {sibling!r}; up to {allowed:g} is taken"
        return None


class _Taken:
    """What was taken before: a job title may serve several skills, a sentence or an alias one alone."""

    def __init__(self, max_overlap: float):
        self._max_overlap = max_overlap
        self._of_kind: dict[str, Texts] = {}
        self._of_skill: dict[tuple[str, int], list[str]] = {}

    def add(self, candidate: Candidate) -> None:
        request = candidate.request
        self._of_kind.setdefault(request.kind, Texts(())).add(candidate.text)
        self._of_skill.setdefault((request.kind, request.skill), []).append(candidate.text)

    def again(self, candidate: Candidate) -> tuple[str, str] | None:
        request, text = candidate.request, candidate.text
        before = self._of_skill.get((request.kind, request.skill), [])
        if text in Texts(before) or (request.kind != "job" and text in self._of_kind.get(request.kind, ())):
            return "taken before", "equal to another new text"
        share = max((overlap(text, other) for other in before), default=0.0)
        if share >= self._max_overlap:
            return "taken before", f"{share:.2f} of its words in another text for the skill"
        return None


def _reject(candidate: Candidate, reason: str, detail: str) -> Rejected:
    request = candidate.request
    return Rejected(request.kind, request.label, candidate.text, reason, detail, candidate.key)
