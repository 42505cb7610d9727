"""Scoring in chunks of queries, so that the [q, i, y, j] tensor of token products never exists at once."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from uwe_jax.base.config import ScorerSettings
from uwe_jax.scoring.scorers import Scores, Tokens, block_scores

# Token products alive at a time where no chunk is asked for: 16 MiB of float32 for each of the few tensors of that
# shape, which keeps a CPU in its caches and an accelerator busy.
_BUDGET = 4 * 2**20


def chunk_size(q: Tokens, y: Tokens, settings: ScorerSettings) -> int:
    """Queries scored at once: the setting, or as many as the memory budget allows."""
    queries, i = q.mask.shape
    if settings.kind == "mean_pool":
        return queries
    per_query = i * y.mask.shape[0] * (1 if settings.kind == "soft_pooled" else y.mask.shape[1])
    return min(queries, settings.chunk or max(1, _BUDGET // per_query))


def pairwise_scores(q: Tokens, y: Tokens, tau_a: Float[Array, ""] | float, settings: ScorerSettings) -> Scores:
    """`block_scores` of all q queries against all y targets with bounded memory, forward and backward.

    Chunks of queries are scored one after another and rematerialised in the backward pass. A last, partial chunk is
    filled up with texts without tokens.
    """
    queries, _, d = q.embeddings.shape
    chunk = chunk_size(q, y, settings)
    if chunk >= queries:
        return block_scores(q, y, tau_a, settings)
    chunks = -(-queries // chunk)
    fill = ((0, chunks * chunk - queries), (0, 0))
    filled = Tokens(jnp.pad(q.embeddings, (*fill, (0, 0))), jnp.pad(q.mask, fill))
    parts = Tokens(filled.embeddings.reshape(chunks, chunk, -1, d), filled.mask.reshape(chunks, chunk, -1))
    scored = jax.lax.map(jax.checkpoint(lambda part: block_scores(part, y, tau_a, settings)), parts)
    return Scores(*(matrix.reshape(chunks * chunk, -1)[:queries] for matrix in scored))
