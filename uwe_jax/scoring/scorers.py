"""Scores of query and target texts from their token embeddings: soft late interaction and its relatives.

Every scorer takes raw token embeddings with boolean masks and returns the two directional score matrices of a block
of queries and targets, s(q, y) and s(y, q), from one matrix product. A direction that the caller drops is not
computed once the call is jitted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from uwe_jax.base.config import ScorerSettings

# Finite, so that a row of padding alone gives a uniform softmax that its weight of zero removes, and never NaN.
MASKED = -1e30
_TINY = 1e-12


class Tokens(NamedTuple):
    """Token embeddings of a block of texts: embeddings [b, t, d] and a mask [b, t], true for real tokens."""

    embeddings: Float[Array, "b t d"]
    mask: Bool[Array, "b t"]


class Scores(NamedTuple):
    """Both directions of a block: `forward[q, y]` = s(q, y) and `backward[q, y]` = s(y, q)."""

    forward: Float[Array, "q y"]
    backward: Float[Array, "q y"]


def inverse_norms(embeddings: Float[Array, "*b d"]) -> Float[Array, "*b"]:
    """1 / |e| in float32; finite, with finite gradients, for a zero vector."""
    squares = jnp.sum(jnp.square(embeddings.astype(jnp.float32)), axis=-1)
    return jax.lax.rsqrt(jnp.maximum(squares, _TINY))


def mean_embeddings(tokens: Tokens) -> Float[Array, "b d"]:
    """Masked mean over tokens, in float32; zero for a text without tokens."""
    weights = tokens.mask.astype(jnp.float32)
    total = jnp.einsum("btd,bt->bd", tokens.embeddings, weights, preferred_element_type=jnp.float32)
    return total / jnp.maximum(weights.sum(axis=1), 1.0)[:, None]


def _token_products(q: Tokens, y: Tokens) -> tuple[Float[Array, "q i y j"], Float[Array, "q i y j"]]:
    """Raw dot products and cosines of all token pairs, from one matrix product."""
    dot = jnp.einsum("qid,yjd->qiyj", q.embeddings, y.embeddings, preferred_element_type=jnp.float32)
    scale_q = inverse_norms(q.embeddings)[:, :, None, None]
    scale_y = inverse_norms(y.embeddings)[None, None, :, :]
    return dot, dot * scale_q * scale_y


def _reduce(per_token: Float[Array, "a t b"], mask: Bool[Array, "a t"], how: str) -> Float[Array, "a b"]:
    """Sum over the real tokens t, or their mean; zero for a text without tokens."""
    total = jnp.sum(jnp.where(mask[:, :, None], per_token, 0.0), axis=1)
    if how == "sum":
        return total
    return total / jnp.maximum(mask.sum(axis=1), 1).astype(jnp.float32)[:, None]


def _attended(
    logits: Float[Array, "q i y j"],
    cosine: Float[Array, "q i y j"],
    mask: Bool[Array, "#q #i #y #j"],
    axis: int,
) -> Array:
    """sum over `axis` of softmax(logits) * cosine, in float32; masked entries get no weight."""
    logits = jnp.where(mask, logits, MASKED)
    peak = jax.lax.stop_gradient(logits.max(axis=axis, keepdims=True))
    weights = jnp.exp(logits - peak) * mask.astype(jnp.float32)
    return jnp.sum(weights * cosine, axis=axis) / jnp.maximum(jnp.sum(weights, axis=axis), _TINY)


def soft(q: Tokens, y: Tokens, tau_a: Float[Array, ""], settings: ScorerSettings) -> Scores:
    """Soft late interaction: reduce over i of sum_j softmax_j(logits[i, j] / tau_a) cos(e_i, t_j)."""
    dot, cosine = _token_products(q, y)
    logits = (cosine if settings.logits == "cosine" else dot) / tau_a
    forward = _attended(logits, cosine, y.mask[None, None, :, :], axis=3)  # [q, i, y]
    backward = _attended(logits, cosine, q.mask[:, :, None, None], axis=1)  # [q, y, j]
    return Scores(
        forward=_reduce(forward, q.mask, settings.reduce),
        backward=_reduce(backward.transpose(1, 2, 0), y.mask, settings.reduce).T,
    )


def max_sim(q: Tokens, y: Tokens, tau_a: Float[Array, ""], settings: ScorerSettings) -> Scores:
    """MaxSim: reduce over i of max_j cos(e_i, t_j), the limit of soft cosine attention for tau_a -> 0."""
    del tau_a
    _, cosine = _token_products(q, y)
    mask_y, mask_q = y.mask[None, None, :, :], q.mask[:, :, None, None]
    forward = jnp.where(mask_y, cosine, MASKED).max(axis=3)
    backward = jnp.where(mask_q, cosine, MASKED).max(axis=1)
    forward = jnp.where(y.mask.any(axis=1)[None, None, :], forward, 0.0)
    backward = jnp.where(q.mask.any(axis=1)[:, None, None], backward, 0.0)
    return Scores(
        forward=_reduce(forward, q.mask, settings.reduce),
        backward=_reduce(backward.transpose(1, 2, 0), y.mask, settings.reduce).T,
    )


def mean_pool(q: Tokens, y: Tokens, tau_a: Float[Array, ""], settings: ScorerSettings) -> Scores:
    """Cosine of the masked means; the same in both directions."""
    del tau_a, settings
    mean_q, mean_y = mean_embeddings(q), mean_embeddings(y)
    dot = jnp.einsum("qd,yd->qy", mean_q, mean_y)
    scores = dot * inverse_norms(mean_q)[:, None] * inverse_norms(mean_y)[None, :]
    return Scores(scores, scores)


def soft_pooled(q: Tokens, y: Tokens, tau_a: Float[Array, ""], settings: ScorerSettings) -> Scores:
    """Query tokens attend to the pooled target, as ConTeXT-match does.

    With ybar the masked mean of the target: s(q, y) = sum_i softmax_i(logits[i] / tau_a) cos(e_i, ybar). One pooled
    target leaves nothing to choose among target tokens, so the softmax runs over the query's. `reduce` has no part.
    """

    def one_way(a: Tokens, b: Tokens) -> Float[Array, "a b"]:
        pooled = mean_embeddings(b)
        dot = jnp.einsum("aid,bd->aib", a.embeddings, pooled, preferred_element_type=jnp.float32)
        cosine = dot * inverse_norms(a.embeddings)[:, :, None] * inverse_norms(pooled)[None, None, :]
        logits = (cosine if settings.logits == "cosine" else dot) / tau_a
        return _attended(logits[..., None], cosine[..., None], a.mask[:, :, None, None], axis=1)[..., 0]

    return Scores(one_way(q, y), one_way(y, q).T)


SCORERS: dict[str, Callable[[Tokens, Tokens, Array, ScorerSettings], Scores]] = {
    "soft": soft,
    "max_sim": max_sim,
    "mean_pool": mean_pool,
    "soft_pooled": soft_pooled,
}


def block_scores(q: Tokens, y: Tokens, tau_a: Float[Array, ""] | float, settings: ScorerSettings) -> Scores:
    """Both directions of all pairs of q queries and y targets, at once.

    Two orthogonal tokens against one of them, by hand: attention e^1 : e^0 for tau_a = 1, cosines 1 and 0.

    >>> t = Tokens(jnp.eye(2)[None], jnp.ones((1, 2), bool))
    >>> e = Tokens(jnp.eye(2)[None, :1], jnp.ones((1, 1), bool))
    >>> scores = block_scores(e, t, 1.0, ScorerSettings(kind="soft"))
    >>> round(float(scores.forward[0, 0]), 4), float(scores.backward[0, 0])
    (0.7311, 0.5)

    Args:
      q: query tokens, raw (not normalised) encoder outputs in any float dtype, [q, i, d].
      y: target tokens, [y, j, d].
      tau_a: attention temperature; `soft` and `soft_pooled` read it.
      settings: which scorer, its logits and its reduction.

    Returns:
      float32 scores [q, y] in both directions. A text without tokens scores 0 with everything.
    """
    return SCORERS[settings.kind](q, y, jnp.asarray(tau_a, jnp.float32), settings)
