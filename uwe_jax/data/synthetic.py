"""Synthetic graphs and token tables of any size, for measuring speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from uwe_jax.data.graph import BipartiteGraph, edge_matrix
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.data.ragged import run_offsets
from uwe_jax.data.tokens import SpecialTokens, TokenTable
from uwe_jax.runtime.kinds import SKILL

# Fitted to ESCO 1.1.1, with its 123,855 edges between 13,896 skills and 3,007 occupations. The spreads are standard
# deviations of the logarithm of a skill's and of a job's chance to get an edge beyond its first.
_JOB_EDGES_PER_SKILL = 9.0
_SKILL_SPREAD, _JOB_SPREAD = 1.45, 0.48

_SPECIAL = SpecialTokens((101,), (102,), 0)
_TOKEN_IDS = (1000, 30000)


def synthetic_graphs(skills: int, jobs: int, sentences: int, aliases: int, seed: int) -> GraphSet:
    """Draws skill-job, skill-vacancy and skill-alias graphs with degrees like those of ESCO.

    Skills and jobs have log-normal numbers of edges, about nine per skill, and at least one each. A sentence mentions
    one or two skills, popular ones more often; an alias belongs to one skill. 0 sentences or aliases leave that graph
    out.

    Raises:
      ValueError: fewer than one skill or job, or a negative number.
    """
    if min(skills, jobs) < 1 or min(sentences, aliases) < 0:
        raise ValueError(f"{skills} skills, {jobs} jobs, {sentences} sentences and {aliases} aliases make no graph")
    rng = np.random.default_rng(seed)
    popular = _popularity(skills, _SKILL_SPREAD, rng)

    edges = max(round(_JOB_EDGES_PER_SKILL * skills), jobs)
    asked = np.concatenate([np.arange(skills), _draw(popular, edges - skills, rng)])
    asking = np.concatenate([np.arange(jobs), _draw(_popularity(jobs, _JOB_SPREAD, rng), edges - jobs, rng)])
    ends = {"job": (jobs, rng.permutation(asked), asking)}
    if sentences:
        second = np.flatnonzero(rng.random(sentences) < 0.5)
        mentioned = _draw(popular, sentences + len(second), rng)
        ends["vacancy"] = (sentences, mentioned, np.concatenate([np.arange(sentences), second]))
    if aliases:
        ends["alias"] = (aliases, rng.integers(skills, size=aliases), np.arange(aliases))

    texts = _texts(SKILL, skills)
    graphs = {
        kind: BipartiteGraph(kind, texts, _texts(kind, count), edge_matrix(left, right, (skills, count)))
        for kind, (count, left, right) in ends.items()
    }
    return GraphSet(texts, graphs)


def synthetic_tables(graphs: GraphSet, histograms: Mapping[str, Sequence[int]], seed: int) -> dict[str, TokenTable]:
    """Draws token ids for every node of the graphs, with text lengths from histograms.

    Args:
      graphs: each node gets a text.
      histograms: per node kind, entry k counts texts of k tokens, the two special ones included.
      seed: of lengths and tokens.

    Raises:
      ValueError: a kind has no histogram, or one that counts no text or texts shorter than the special tokens.
    """
    counts = {SKILL: len(graphs.skills)} | {kind: len(graph.neighbours) for kind, graph in graphs.graphs.items()}
    tables = {}
    for stream, (kind, count) in enumerate(counts.items()):
        histogram = np.asarray(histograms.get(kind, ()), np.float64)
        if histogram.sum() <= 0 or histogram.min() < 0 or histogram[: _SPECIAL.count].any():
            raise ValueError(
                f"the histogram of {kind} texts is {histogram.tolist()}: expected counts of texts of at least "
                f"{_SPECIAL.count} tokens"
            )
        rng = np.random.default_rng((seed, stream))
        offsets = run_offsets(_draw(histogram, count, rng) - _SPECIAL.count)
        tables[kind] = TokenTable(rng.integers(*_TOKEN_IDS, size=offsets[-1], dtype=np.int32), offsets, _SPECIAL)
    return tables


def _popularity(count: int, spread: float, rng: np.random.Generator) -> Float[np.ndarray, " count"]:
    return np.exp(spread * rng.standard_normal(count))


def _draw(weights: Float[np.ndarray, " k"], size: int, rng: np.random.Generator) -> Int[np.ndarray, " size"]:
    """Draws positions in proportion to the weights, with replacement."""
    return rng.choice(len(weights), size, p=weights / weights.sum())


def _texts(kind: str, count: int) -> tuple[str, ...]:
    """Returns unique texts, sorted as the nodes of every graph are."""
    digits = len(str(count))
    return tuple(f"{kind} {place:0{digits}}" for place in range(count))
