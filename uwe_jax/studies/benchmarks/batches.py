"""Batches without data: synthetic graphs as large as ESCO, with texts as long as real ones."""

from __future__ import annotations

from uwe_jax.config import BatchSettings, LengthSettings
from uwe_jax.data.batches import BatchBuilder
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.data.sampling import BatchSampler
from uwe_jax.data.synthetic import synthetic_graphs, synthetic_tables
from uwe_jax.studies.benchmarks import lengths

_SENTENCES = 20_000  # as a generated training set may have; the other sizes are those of the histograms


def graphs_like_esco(seed: int, scale: float = 1.0) -> GraphSet:
    """Draws synthetic graphs with `scale` times ESCO's nodes of every kind, and about as many times its edges."""
    sizes = (sum(lengths.SKILLS), sum(lengths.JOBS), _SENTENCES, sum(lengths.ALIASES))
    skills, jobs, sentences, aliases = (max(1, round(scale * size)) for size in sizes)
    return synthetic_graphs(skills, jobs, sentences, aliases, seed)


def batch_builder(settings: BatchSettings, texts: LengthSettings, seed: int) -> BatchBuilder:
    """Makes the batches that a benchmark trains on.

    Raises:
      UserError: the batch is larger than the 13,896 skills.
    """
    graphs = graphs_like_esco(seed)
    tables = synthetic_tables(graphs, lengths.BY_KIND, seed)
    return BatchBuilder(graphs, tables, texts, BatchSampler(graphs, settings, seed))
