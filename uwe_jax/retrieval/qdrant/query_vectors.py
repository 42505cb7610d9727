"""Vectors of queries, as Qdrant compares them with those of targets."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from uwe_jax.config import ScorerSettings
from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.retrieval.qdrant.upload import norms_of
from uwe_jax.scoring.ragged import is_pooled


def query_vectors(
    queries: RaggedTokens, scorer: ScorerSettings, *, pooled: bool, single: bool
) -> Iterator[list | None]:
    """Yields the token embeddings of every query, one where names are means; None for an empty query."""
    lengths = queries.lengths
    if is_pooled(scorer.kind, query=True):
        queries = queries.pooled()
    elif pooled:
        # The sum over i of cos(e_i, y) is the product of y's unit vector with the sum of the tokens' own.
        norms = np.maximum(norms_of(queries.flat), np.finfo(np.float32).tiny)
        queries = RaggedTokens(queries.flat.astype(np.float32) / norms[:, None], queries.offsets).pooled()
    for k, length in enumerate(lengths.tolist()):
        rows = queries.part(k, k + 1).flat.astype(np.float32).tolist()
        yield (rows[0] if single else rows) if length else None
