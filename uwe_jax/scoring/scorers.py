"""Scores of query and target texts from their token embeddings: soft late interaction and its relatives.

Every scorer takes token embeddings, split into direction and norm, with boolean masks, and returns the two directional
score matrices of a block of queries and targets, s(q, y) and s(y, q), from one matrix product. A direction that the
caller drops is not computed once the call is jitted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from uwe_jax.config import ScorerSettings
from uwe_jax.scoring.soft_attention import cosines, soft_attention
from uwe_jax.scoring.softmax import MASKED, attend
from uwe_jax.scoring.tokens import Texts, Tokens, mean_embeddings, texts, unit_tokens

# exp((cos - 1) / tau_a) is at least exp(-40) = 4e-18 from here on, far from float32's smallest normal number, 1e-38,
# and a gradient that is divided by a sum of such weights is as far from its largest.
_SMALLEST_BOUNDED_TAU = 0.05


class Scores(NamedTuple):
    """Both directions of a block: `forward[q, y]` = s(q, y) and `backward[q, y]` = s(y, q)."""

    forward: Float[Array, "q y"]
    backward: Float[Array, "q y"]


def _number(mask: Bool[Array, "b t"]) -> Float[Array, " b"]:
    """Real tokens of every text, at least 1."""
    return jnp.maximum(mask.sum(axis=1), 1).astype(jnp.float32)


def _reduce(per_token: Float[Array, "a t b"], mask: Bool[Array, "a t"], how: str) -> Float[Array, "a b"]:
    """Sum over the real tokens t, or their mean; zero for a text without tokens."""
    total = jnp.sum(jnp.where(mask[:, :, None], per_token, 0.0), axis=1)
    return total if how == "sum" else total / _number(mask)[:, None]


def soft(q: Texts, y: Texts, tau_a: Float[Array, ""] | float, settings: ScorerSettings) -> Scores:
    """Soft late interaction: reduce over i of sum_j softmax_j(logits[i, j] / tau_a) cos(e_i, t_j)."""
    bounded = settings.logits == "cosine" and isinstance(tau_a, float) and tau_a >= _SMALLEST_BOUNDED_TAU
    forward, backward = soft_attention(q, y, jnp.asarray(tau_a, jnp.float32), settings.logits, bounded)
    if settings.reduce == "mean":
        forward = forward / _number(q.mask)[:, None]
        backward = backward / _number(y.mask)[None, :]
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
    """Query tokens attend to the pooled target, as ConTeXT-match does.

    With ybar the masked mean of the target: s(q, y) = sum_i softmax_i(logits[i] / tau_a) cos(e_i, ybar). One pooled
    target leaves nothing to choose among target tokens, so the softmax runs over the query's. `reduce` has no part.
    """

    def one_way(a: Texts, b: Texts) -> Float[Array, "a b"]:
        pooled, norms = unit_tokens(mean_embeddings(b), a.unit.dtype)
        cosine = jnp.einsum("aid,bd->aib", a.unit, pooled, preferred_element_type=jnp.float32)
        scale = 1.0 if settings.logits == "cosine" else a.norms[:, :, None] * norms[None, None, :]
        return attend(cosine, cosine * scale / tau_a, a.mask[:, :, None], axis=1).values

    return Scores(one_way(q, y), one_way(y, q).T)


SCORERS: dict[str, Callable[[Texts, Texts, Array | float, ScorerSettings], Scores]] = {
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
      tau_a: attention temperature; `soft` and `soft_pooled` read it. A Python float of at least 0.05 saves `soft` over
        cosines a sweep of the token products.
      settings: which scorer, its logits and its reduction.

    Returns:
      float32 scores [q, y] in both directions. A text without tokens scores 0 with everything.
    """
    return score_texts(texts(q), texts(y), tau_a, settings)


def score_texts(q: Texts, y: Texts, tau_a: Float[Array, ""] | float, settings: ScorerSettings) -> Scores:
    """`block_scores` of texts that were split into direction and norm before."""
    return SCORERS[settings.kind](q, y, tau_a, settings)
