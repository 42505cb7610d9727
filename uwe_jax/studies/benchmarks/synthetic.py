"""Synthetic graphs and token tables of any size, with texts as long as those of this field, to measure speed.

Entry k of a histogram counts texts of k tokens, the two special ones included, in the uncased WordPiece vocabulary of
30,522 subword tokens that MiniLM and MPNet share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax
import numpy as np
from jaxtyping import Float, Int

from uwe_jax.config import BatchSettings, LengthSettings
from uwe_jax.data.batches import BatchBuilder
from uwe_jax.data.graph import BipartiteGraph, edge_matrix
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.data.ragged import run_offsets
from uwe_jax.data.sampling import BatchSampler
from uwe_jax.data.tokens import SpecialTokens, TokenTable
from uwe_jax.runtime.kinds import SKILL

# ESCO 1.1.1, preferred labels of the 13,896 skills.
SKILLS = (0, 0, 0, 178, 1871, 3976, 3024, 2153, 1232, 730, 422, 170, 71, 38, 20, 8, 3)

# ESCO 1.1.1, preferred labels of the 3,007 occupations.
JOBS = (0, 0, 0, 90, 822, 1034, 533, 255, 126, 48, 37, 18, 16, 12, 8, 7, 0, 1)

# ESCO 1.1.1, 97,483 alternative labels of skills.
# fmt: off
ALIASES = (
    0, 0, 0, 481, 8935, 22868, 21720, 16712, 11144, 6849, 4103, 2196, 1170, 627, 333, 127,
    138, 42, 16, 8, 4, 2, 2, 2, 0, 2, 0, 1, 0, 0, 0, 0, 1,
)

# SkillSkape, the 7,669 vacancy sentences of its train and dev files; entry 64 counts the 88 of 64 or more tokens.
VACANCIES = (
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1,
    3, 3, 13, 31, 42, 65, 79, 122, 177, 215, 241, 269, 288, 329, 366, 372,
    392, 415, 389, 359, 324, 337, 300, 271, 260, 218, 200, 211, 177, 164, 123, 128,
    106, 93, 72, 67, 64, 54, 40, 34, 35, 22, 16, 21, 24, 15, 21, 11,
    88,
)
# fmt: on

_SENTENCES = 20_000  # as a generated training set may have; the other numbers of nodes are those of the histograms
BY_KIND = {"skill": SKILLS, "job": JOBS, "vacancy": VACANCIES, "alias": ALIASES}

# Fitted to ESCO 1.1.1, with its 123,855 edges between 13,896 skills and 3,007 occupations. The spreads are standard
# deviations of the logarithm of a skill's and of a job's chance to get an edge beyond its first.
_JOB_EDGES_PER_SKILL = 9.0
_SKILL_SPREAD, _JOB_SPREAD = 1.45, 0.48

_SPECIAL = SpecialTokens((101,), (102,), 0)
_TOKEN_IDS = (1000, 30000)


def draw(histogram: tuple[int, ...], texts: int, rng: np.random.Generator) -> np.ndarray:
    """Draws lengths of so many texts, int64; as many as the histogram counts have its lengths, in random order.

    >>> sorted(draw((0, 0, 2, 1), 3, np.random.default_rng(0)).tolist())
    [2, 2, 3]
    """
    counted = np.repeat(np.arange(len(histogram)), histogram)
    return rng.choice(counted, texts, replace=texts > len(counted))


def graphs_like_esco(seed: int, scale: float = 1.0) -> GraphSet:
    """Draws synthetic graphs with `scale` times ESCO's nodes of every kind, and about as many times its edges."""
    sizes = (sum(SKILLS), sum(JOBS), _SENTENCES, sum(ALIASES))
    skills, jobs, sentences, aliases = (max(1, round(scale * size)) for size in sizes)
    return synthetic_graphs(skills, jobs, sentences, aliases, seed)


def batch_builder(settings: BatchSettings, texts: LengthSettings, seed: int) -> BatchBuilder:
    """Makes the batches that a benchmark trains on; a UserError if a batch has more than the 13,896 skills."""
    graphs = graphs_like_esco(seed)
    tables = synthetic_tables(graphs, BY_KIND, seed)
    return BatchBuilder(graphs, tables, texts, BatchSampler(graphs, settings, seed), devices=jax.device_count())


def synthetic_graphs(skills: int, jobs: int, sentences: int, aliases: int, seed: int) -> GraphSet:
    """Draws skill-job, skill-vacancy and skill-alias graphs with degrees like those of ESCO.

    Skills and jobs have log-normal numbers of edges, about nine per skill, and at least one each. A sentence mentions
    one or two skills, popular ones more often; an alias belongs to one skill. 0 sentences or aliases leave that graph
    out.
    """
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
    """
    tables = {}
    for stream, (kind, texts) in enumerate(graphs.texts.items()):
        histogram = np.asarray(histograms[kind], np.float64)
        rng = np.random.default_rng((seed, stream))
        offsets = run_offsets(_draw(histogram, len(texts), rng) - _SPECIAL.count)
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
