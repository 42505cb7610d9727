"""What is asked for: one request for each rare skill of each graph, with its examples and its prompt."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from uwe_jax.curation.enrich.evaluation_texts import EvaluationTexts
from uwe_jax.curation.enrich.grounding import Example, nearest, nearest_examples, real_texts
from uwe_jax.curation.enrich.prompts import Prompt, PromptFiles
from uwe_jax.curation.enrich.rare import rare_skills
from uwe_jax.curation.enrich.settings import ENDPOINT, EnrichmentSettings
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.evaluation.ranker import Ranker
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.notes import counted

LOG = logging.getLogger(__name__)
SENTENCES, TITLES = "vacancy", "job"  # the kinds of graphs whose texts serve as examples


@dataclass(frozen=True)
class Request:
    """New texts of one kind for one skill.

    Attributes:
      kind: of the graph.
      skill: its position in the graph set.
      label: its text.
      count: of texts wanted.
      sentences: real vacancy sentences nearest to the skill.
      titles: real job titles nearest to it.
      prompt: for a language model; None for templates.
    """

    kind: str
    skill: int
    label: str
    count: int
    sentences: tuple[Example, ...]
    titles: tuple[Example, ...]
    prompt: Prompt | None = None


def plan(
    settings: EnrichmentSettings,
    graphs: GraphSet,
    evaluation: EvaluationTexts,
    ranker_of: Callable[[str], Ranker],
) -> list[Request]:
    """The requests, kind by kind, the rarest skills first.

    The same settings, graphs and files give the same requests.

    Args:
      settings: of the enrichment.
      graphs: to be enriched.
      evaluation: texts that no example of a further file may be.
      ranker_of: loads the ranker of a spec.

    Raises:
      UserError: no skill is rare, or there is no real text to ground requests in.
    """
    rare = {
        kind: rare_skills(graphs, kind, settings.rare.most_edges, settings.rare.skills, settings.seed)
        for kind in settings.kinds
    }
    if not any(map(len, rare.values())):
        raise UserError(
            f"None of {len(graphs.skills):,} skills has at most {settings.rare.most_edges} edges in the graph of "
            f"{' or '.join(settings.kinds)}: there is nothing to enrich. Raise rare.most_edges."
        )
    skills = np.unique(np.concatenate(list(rare.values())))
    place = {int(s): k for k, s in enumerate(skills)}
    labels = [graphs.skills[s] for s in skills]
    ranker = ranker_of(settings.grounding.ranker)
    examples = _examples(settings, graphs, evaluation, ranker, skills.tolist())
    siblings = _siblings(settings, graphs, ranker, skills, labels)
    prompts = PromptFiles(settings.prompts, settings.kinds) if settings.generator == ENDPOINT else None

    requests = []
    for kind in settings.kinds:
        for s in map(int, rare[kind]):
            sentences, titles = (examples[each][place[s]] for each in (SENTENCES, TITLES))
            count = settings.texts.of(kind)
            values = {
                "skill": graphs.skills[s],
                "count": count,
                "language": settings.language,
                "sentences": [each.text for each in sentences],
                "titles": [each.text for each in titles],
                "aliases": _aliases(graphs, s, settings.grounding.aliases),
                "siblings": siblings[place[s]],
            }
            prompt = prompts.render(kind, values) if prompts else None
            requests.append(Request(kind, s, graphs.skills[s], count, tuple(sentences), tuple(titles), prompt))
    return requests


def _examples(
    settings: EnrichmentSettings,
    graphs: GraphSet,
    evaluation: EvaluationTexts,
    ranker: Ranker,
    skills: Sequence[int],
) -> Mapping[str, list[list[Example]]]:
    """By kind: the nearest real texts of every skill, in their order."""
    grounding = settings.grounding
    wanted = {
        SENTENCES: (grounding.sentences, grounding.sentence_files, "grounding.sentence_files"),
        TITLES: (grounding.titles, grounding.title_files, "grounding.title_files"),
    }
    found: dict[str, list[list[Example]]] = {}
    said = []
    for kind, (k, files, setting) in wanted.items():
        texts, left_out = real_texts(graphs, kind, files, setting, evaluation) if k else ([], 0)
        found[kind] = nearest_examples(ranker, graphs, kind, skills, texts, k)
        notes = counted(left_out, "more left out as texts of an evaluation")
        said.append(", ".join([f"{len(texts):,} {'sentences' if kind == SENTENCES else 'titles'}", *notes]))
    if not any(map(any, found.values())):
        raise UserError(
            "There is no real sentence and no real title to ground requests in: the source has no vacancy and no job "
            "graph, or grounding.sentences and grounding.titles are 0. Name files with real texts in "
            "grounding.sentence_files or grounding.title_files."
        )
    LOG.info(f"Examples are taken by {ranker.name} from {' and '.join(said)}.")
    return found


def _siblings(
    settings: EnrichmentSettings, graphs: GraphSet, ranker: Ranker, skills: np.ndarray, labels: Sequence[str]
) -> list[list[str]]:
    """The labels of the nearest other skills."""
    k = settings.grounding.siblings
    if settings.generator != ENDPOINT or not k:
        return [[] for _ in labels]
    best = nearest(ranker, labels, graphs.skills, k + 1)
    return [[graphs.skills[n] for n, _ in row if n != s][:k] for s, row in zip(skills, best, strict=True)]


def _aliases(graphs: GraphSet, skill: int, most: int) -> list[str]:
    graph = graphs.graphs.get("alias")
    return [graph.neighbours[n] for n in graph.neighbours_of(skill)[:most]] if graph else []
