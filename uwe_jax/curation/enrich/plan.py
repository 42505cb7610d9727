"""Plan of an enrichment: one request for each rare skill of each graph, with examples and a prompt."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from uwe_jax.curation.enrich.copies import Texts
from uwe_jax.curation.enrich.grounding import Example, nearest, nearest_examples, real_texts
from uwe_jax.curation.enrich.prompts import Prompt, PromptFiles
from uwe_jax.curation.enrich.settings import ENDPOINT, EnrichmentSettings
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.evaluation.ranker import Ranker
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.progress import counted

LOG = logging.getLogger(__name__)
SENTENCES, TITLES = "vacancy", "job"  # the kinds of graphs whose texts serve as examples
NO_PROMPT = Prompt("", "")


@dataclass(frozen=True)
class Request:
    """New texts of one kind for one skill."""

    kind: str  # of the graph
    skill: int  # its position in the graph set
    label: str
    count: int  # of texts wanted
    sentences: tuple[Example, ...]  # real vacancy sentences nearest to the skill
    titles: tuple[Example, ...]  # real job titles nearest to it
    prompt: Prompt = NO_PROMPT  # for a language model; empty for templates


def plan(
    settings: EnrichmentSettings, graphs: GraphSet, evaluation: Texts, ranker_of: Callable[[str], Ranker]
) -> list[Request]:
    """Plans requests, kind by kind, the rarest skills first. The same inputs give the same requests.

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
    skills = np.unique(np.concatenate(list(rare.values()))).tolist()
    ranker = ranker_of(settings.grounding.ranker)
    examples = _examples(settings, graphs, evaluation, ranker, skills)
    siblings = _siblings(settings, graphs, ranker, skills)
    prompts = PromptFiles(settings.prompts, settings.kinds) if settings.generator == ENDPOINT else None
    aliases = graphs.graphs.get("alias")

    requests = []
    for kind in settings.kinds:
        count = getattr(settings.texts, kind)
        for s in map(int, rare[kind]):
            sentences, titles = (examples[each][s] for each in (SENTENCES, TITLES))
            prompt = NO_PROMPT
            if prompts:
                known = aliases.neighbours_of(s)[: settings.grounding.aliases] if aliases else ()
                values = {
                    "skill": graphs.skills[s],
                    "count": count,
                    "language": settings.language,
                    "sentences": [each.text for each in sentences],
                    "titles": [each.text for each in titles],
                    "aliases": [aliases.neighbours[n] for n in known] if aliases else [],
                    "siblings": siblings[s],
                }
                prompt = prompts.render(kind, values)
            requests.append(Request(kind, s, graphs.skills[s], count, tuple(sentences), tuple(titles), prompt))
    return requests


def _examples(
    settings: EnrichmentSettings, graphs: GraphSet, evaluation: Texts, ranker: Ranker, skills: Sequence[int]
) -> dict[str, dict[int, list[Example]]]:
    grounding = settings.grounding
    wanted = {
        SENTENCES: (grounding.sentences, grounding.sentence_files, "grounding.sentence_files"),
        TITLES: (grounding.titles, grounding.title_files, "grounding.title_files"),
    }
    found: dict[str, dict[int, list[Example]]] = {}
    said = []
    for kind, (k, files, setting) in wanted.items():
        texts, left_out = real_texts(graphs, kind, files, setting, evaluation) if k else ([], 0)
        found[kind] = dict(zip(skills, nearest_examples(ranker, graphs, kind, skills, texts, k), strict=True))
        notes = [f"{left_out:,} more left out as texts of an evaluation"] if left_out else []
        said.append(", ".join([counted(len(texts), "sentence" if kind == SENTENCES else "title"), *notes]))
    if not any(any(each.values()) for each in found.values()):
        raise UserError(
            "There is no real sentence and no real title to ground requests in: the source has no vacancy and no job "
            "graph, or grounding.sentences and grounding.titles are 0. Name files with real texts in "
            "grounding.sentence_files or grounding.title_files."
        )
    LOG.info(f"Examples are taken by {ranker.name} from {' and '.join(said)}.")
    return found


def _siblings(
    settings: EnrichmentSettings, graphs: GraphSet, ranker: Ranker, skills: Sequence[int]
) -> dict[int, list[str]]:
    """The labels of the nearest other skills; none for templates."""
    k = settings.grounding.siblings if settings.generator == ENDPOINT else 0
    best = nearest(ranker, [graphs.skills[s] for s in skills], graphs.skills, k + 1 if k else 0)
    return {s: [graphs.skills[n] for n, _ in row if n != s][:k] for s, row in zip(skills, best, strict=True)}


def degrees(graphs: GraphSet, kind: str) -> Int[np.ndarray, " m"]:
    """Returns the number of edges of every skill in a graph; 0 where the set lacks the graph."""
    if kind not in graphs.graphs:
        return np.zeros(len(graphs.skills), np.int64)
    return np.diff(graphs.graphs[kind].edges.indptr).astype(np.int64)


def rare_skills(graphs: GraphSet, kind: str, most_edges: int, count: int, seed: int) -> Int[np.ndarray, " rare"]:
    """Selects skills with at most `most_edges` edges in a graph, those with the fewest first.

    The order of equals depends on the seed and the texts, so a larger `count` only adds skills; 0 takes all.
    """
    degree = degrees(graphs, kind)

    def order(s: int) -> tuple[int, bytes]:
        text = f"{seed}:{graphs.skills[s]}".encode("utf-8", "surrogatepass")
        return int(degree[s]), hashlib.blake2b(text, digest_size=8).digest()

    found = np.array(sorted(np.flatnonzero(degree <= most_edges).tolist(), key=order), np.int64)
    return found[:count] if count else found
