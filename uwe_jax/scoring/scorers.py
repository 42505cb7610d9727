"""Scores of query and target texts from their token embeddings: soft late interaction and its relatives.

Every scorer returns both score matrices of a block, s(q, y) and s(y, q), from one matrix product; under jit, a
direction that the caller drops is not computed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from uwe_jax.config import ScorerSettings
from uwe_jax.scoring.soft_attention import cosines, soft_attention
from uwe_jax.scoring.softmax import MASKED, attend
from uwe_jax.scoring.tokens import Texts, Tokens, mean_embeddings, texts, unit_tokens

# From here on exp((cos - 1) / tau_a) is at least exp(-40) = 4e-18, far above float32's smallest normal number, 1e-38;
# a gradient divided by a sum of such weights is equally far from overflow.
_SMALLEST_BOUNDED_TAU = 0.05

# Token products kept at a time by default: on a CPU 4 MiB of float32 per tensor of that shape, which stay close to its
# caches; on an accelerator 256 MiB, since smaller chunks leave it waiting for launches.
_BUDGET = {"cpu": 2**20}
_ACCELERATOR_BUDGET = 64 * 2**20


class Scores(NamedTuple):
    """Both directions of a block: `forward[q, y]` = s(q, y) and `backward[q, y]` = s(y, q)."""

    forward: Float[Array, "q y"]
    backward: Float[Array, "q y"]


def _token_counts(mask: Bool[Array, "b t"]) -> Float[Array, " b"]:
    return jnp.maximum(mask.sum(axis=1), 1).astype(jnp.float32)


def _reduce(per_token: Float[Array, "a t b"], mask: Bool[Array, "a t"], how: str) -> Float[Array, "a b"]:
    """Sum over the real tokens t, or their mean; zero for a text without tokens."""
    total = jnp.sum(jnp.where(mask[:, :, None], per_token, 0.0), axis=1)
    return total if how == "sum" else total / _token_counts(mask)[:, None]


def soft(q: Texts, y: Texts, tau_a: Float[Array, ""] | float, settings: ScorerSettings) -> Scores:
    """Soft late interaction: reduce over i of sum_j softmax_j(logits[i, j] / tau_a) cos(e_i, t_j)."""
    bounded = settings.logits == "cosine" and isinstance(tau_a, float) and tau_a >= _SMALLEST_BOUNDED_TAU
    forward, backward = soft_attention(q, y, jnp.asarray(tau_a, jnp.float32), settings.logits, bounded)
    if settings.reduce == "mean":
        forward = forward / _token_counts(q.mask)[:, None]
        backward = backward / _token_counts(y.mask)[None, :]
    return Scores(forward, backward)


def max_sim(q: Texts, y: Texts, tau_a: Float[Array, ""] | float, settings: ScorerSettings) -> Scores:
    """MaxSim: reduce over i of max_j cos(e_i, t_j), the limit of soft cosine attention for tau_a -> 0."""
    del tau_a
    cosine = cosines(q, y)
    mask_y, mask_q = y.mask[None, None, :, :], q.mask[:, :, None, None]
    forward = jnp.where(mask_y, cosine, MASKED).max(axis=3)
    backward = jnp.where(mask_q, cosine, MASKED).max(axis=1)
    forward = jnp.where(y.mask.any(axis=1)[None, None, :], forward, 0.0)
    backward = jnp.where(q.mask.any(axis=1)[:, None, None], backward, 0.0)
    return Scores(
        forward=_reduce(forward, q.mask, settings.reduce),
        backward=_reduce(backward.transpose(1, 2, 0), y.mask, settings.reduce).T,
    )


def mean_pool(q: Texts, y: Texts, tau_a: Float[Array, ""] | float, settings: ScorerSettings) -> Scores:
    """Cosine of the masked means; the same in both directions."""
    del tau_a, settings
    mean_q, mean_y = (unit_tokens(mean_embeddings(side), jnp.float32).unit for side in (q, y))
    scores = jnp.einsum("qd,yd->qy", mean_q, mean_y)
    return Scores(scores, scores)


def soft_pooled(q: Texts, y: Texts, tau_a: Float[Array, ""] | float, settings: ScorerSettings) -> Scores:
    """Query tokens attend to the pooled target, as in ConTeXT-match; `reduce` is not used.

    With ybar the masked mean of the target, s(q, y) = sum_i softmax_i(logits[i] / tau_a) cos(e_i, ybar).
    """

    def one_way(a: Texts, b: Texts) -> Float[Array, "a b"]:
        pooled, norms = unit_tokens(mean_embeddings(b), a.unit.dtype)
        cosine = jnp.einsum("aid,bd->aib", a.unit, pooled, preferred_element_type=jnp.float32)
        scale = 1.0 if settings.logits == "cosine" else a.norms[:, :, None] * norms[None, None, :]
        return attend(cosine, cosine * scale / tau_a, a.mask[:, :, None], axis=1).values

    return Scores(one_way(q, y), one_way(y, q).T)


_SCORERS: dict[str, Callable[[Texts, Texts, Array | float, ScorerSettings], Scores]] = {
    "soft": soft,
    "max_sim": max_sim,
    "mean_pool": mean_pool,
    "soft_pooled": soft_pooled,
}


def block_scores(q: Tokens, y: Tokens, tau_a: Float[Array, ""] | float, settings: ScorerSettings) -> Scores:
    """Scores all pairs of q queries and y targets in both directions, at once.

    Two orthogonal tokens against one of them: attention e^1 : e^0 for tau_a = 1, cosines 1 and 0.

    >>> t = Tokens(jnp.eye(2)[None], jnp.ones((1, 2), bool))
    >>> e = Tokens(jnp.eye(2)[None, :1], jnp.ones((1, 1), bool))
    >>> scores = block_scores(e, t, 1.0, ScorerSettings(kind="soft"))
    >>> round(float(scores.forward[0, 0]), 4), float(scores.backward[0, 0])
    (0.7311, 0.5)

    Args:
      q: raw query token embeddings in any float dtype, [q, i, d].
      y: raw target token embeddings, [y, j, d].
      tau_a: attention temperature of `soft` and `soft_pooled`. A Python float of at least 0.05 saves `soft` over
        cosines a sweep of the token products.

    Returns:
      float32 scores [q, y] in both directions. A text without tokens scores 0 with everything.
    """
    return _SCORERS[settings.kind](texts(q), texts(y), tau_a, settings)


def pairwise_scores(q: Tokens, y: Tokens, tau_a: Float[Array, ""] | float, settings: ScorerSettings) -> Scores:
    """`block_scores` in chunks of queries, so that the [q, i, y, j] tensor of token products never exists at once.

    Chunks are of `settings.chunk` queries, or as many as a memory budget allows, and are rematerialised in the backward
    pass. The last chunk is padded with texts without tokens.
    """
    score = _SCORERS[settings.kind]
    # Split into direction and norm once, not chunk by chunk.
    whole, targets = texts(q), texts(y)
    queries, i = q.mask.shape
    products = i * y.mask.shape[0] * (1 if settings.kind == "soft_pooled" else y.mask.shape[1])
    chunk = settings.chunk or max(1, _BUDGET.get(jax.default_backend(), _ACCELERATOR_BUDGET) // products)
    if chunk >= queries or settings.kind == "mean_pool":
        return score(whole, targets, tau_a, settings)
    chunks = -(-queries // chunk)

    def cut(part: Array) -> Array:
        padded = jnp.pad(part, ((0, chunks * chunk - queries), *((0, 0),) * (part.ndim - 1)))
        return padded.reshape(chunks, chunk, *part.shape[1:])

    score_chunk = jax.checkpoint(lambda part: score(part, targets, tau_a, settings))
    scored = jax.lax.map(score_chunk, Texts(*map(cut, whole)))
    return Scores(*(matrix.reshape(chunks * chunk, -1)[:queries] for matrix in scored))
