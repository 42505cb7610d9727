"""Batches without data: synthetic graphs as large as ESCO, with texts as long as real ones."""

from __future__ import annotations

from uwe_jax.base.config import BatchSettings, LengthSettings
from uwe_jax.benchmarks import lengths
from uwe_jax.data.batches import BatchBuilder
from uwe_jax.data.sampling import BatchSampler
from uwe_jax.data.synthetic import synthetic_graphs, synthetic_tables

# As many skills, jobs and aliases as the histograms count; sentences as a generated training set may have.
_SENTENCES = 20_000


def batch_builder(settings: BatchSettings, texts: LengthSettings, seed: int) -> BatchBuilder:
    """Makes the batches that a benchmark trains on.

    Raises:
      UserError: the batch is larger than the 13,896 skills.
    """
    graphs = synthetic_graphs(sum(lengths.SKILLS), sum(lengths.JOBS), _SENTENCES, sum(lengths.ALIASES), seed)
    tables = synthetic_tables(graphs, lengths.BY_KIND, seed)
    return BatchBuilder(graphs, tables, texts, BatchSampler(graphs, settings, seed))
