"""Scoring in chunks of queries, so that the [q, i, y, j] tensor of token products never exists at once."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from uwe_jax.config import ScorerSettings
from uwe_jax.scoring.scorers import Scores, block_scores, score_texts
from uwe_jax.scoring.tokens import Texts, Tokens, texts

# Token products alive at a time where no chunk is asked for. On a CPU 4 MiB of float32 for each of the few tensors of
# that shape, which stay near its caches; on an accelerator 256 MiB, since smaller ones leave it waiting for launches.
_BUDGET = {"cpu": 2**20}
_ACCELERATOR_BUDGET = 64 * 2**20


def chunk_size(q: Tokens, y: Tokens, settings: ScorerSettings) -> int:
    """Queries scored at once: the setting, or as many as the memory budget allows."""
    queries, i = q.mask.shape
    if settings.kind == "mean_pool":
        return queries
    per_query = i * y.mask.shape[0] * (1 if settings.kind == "soft_pooled" else y.mask.shape[1])
    budget = _BUDGET.get(jax.default_backend(), _ACCELERATOR_BUDGET)
    return min(queries, settings.chunk or max(1, budget // per_query))


def pairwise_scores(q: Tokens, y: Tokens, tau_a: Float[Array, ""] | float, settings: ScorerSettings) -> Scores:
    """`block_scores` of all q queries against all y targets with bounded memory, forward and backward.

    Chunks of queries are scored one after another and rematerialised in the backward pass. A last, partial chunk is
    filled up with texts without tokens.
    """
    queries = q.mask.shape[0]
    chunk = chunk_size(q, y, settings)
    if chunk >= queries:
        return block_scores(q, y, tau_a, settings)
    # Split into direction and norm once, not chunk by chunk.
    whole, targets = texts(q), texts(y)
    chunks = -(-queries // chunk)

    def cut(part: Array) -> Array:
        filled = jnp.pad(part, ((0, chunks * chunk - queries), *((0, 0),) * (part.ndim - 1)))
        return filled.reshape(chunks, chunk, *part.shape[1:])

    score = jax.checkpoint(lambda part: score_texts(part, targets, tau_a, settings))
    scored = jax.lax.map(score, Texts(*map(cut, whole)))
    return Scores(*(matrix.reshape(chunks * chunk, -1)[:queries] for matrix in scored))
