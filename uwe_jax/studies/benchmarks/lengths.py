"""Token lengths of the texts of this field, and synthetic graphs with such texts, for benchmarks without data.

Entry k of a histogram counts texts of k tokens, the two special ones included, in the uncased WordPiece vocabulary of
30,522 subword tokens that MiniLM and MPNet share.
"""

from __future__ import annotations

import numpy as np

from uwe_jax.config import BatchSettings, LengthSettings
from uwe_jax.data.batches import BatchBuilder
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.data.sampling import BatchSampler
from uwe_jax.data.synthetic import synthetic_graphs, synthetic_tables

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
    return BatchBuilder(graphs, tables, texts, BatchSampler(graphs, settings, seed))
