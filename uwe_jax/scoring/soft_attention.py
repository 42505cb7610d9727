"""Soft late interaction over cosines, with the backward pass written out.

The forward pass keeps only its inputs. The backward pass multiplies the tokens again and turns the products into their
gradient in one sweep; differentiating the softmax step by step would sweep the token products a dozen times, which
costs more than the matrix products themselves.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from uwe_jax.scoring.softmax import Attended, attend
from uwe_jax.scoring.tokens import Texts


def cosines(q: Texts, y: Texts) -> Float[Array, "q i y j"]:
    """cos(e_i, t_j) of all token pairs, in float32."""
    return jnp.einsum("qid,yjd->qiyj", q.unit, y.unit, preferred_element_type=jnp.float32)


def _logit_scale(q: Texts, y: Texts, logits: str) -> Array:
    """Factor from cosines to logits, before tau_a: |e_i| |t_j| for raw dot products, else 1."""
    if logits == "cosine":
        return jnp.ones((1, 1, 1, 1), jnp.float32)
    return q.norms[:, :, None, None] * y.norms[None, None, :, :]


def _both(q: Texts, y: Texts, tau_a: Array, logits: str, bounded: bool) -> tuple[Array, Array, Attended, Attended]:
    cosine = cosines(q, y)
    scaled = cosine * (_logit_scale(q, y, logits) / tau_a)
    bound = 1.0 / tau_a if bounded else None
    over_j = attend(cosine, scaled, y.mask[None, None, :, :], 3, bound)  # sums [q, i, y]
    over_i = attend(cosine, scaled, q.mask[:, :, None, None], 1, bound)  # sums [q, y, j]
    return cosine, scaled, over_j, over_i


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def soft_attention(
    q: Texts, y: Texts, tau_a: Float[Array, ""], logits: str, bounded: bool
) -> tuple[Float[Array, "q y"], Float[Array, "q y"]]:
    """Sums over query tokens of the target's attended cosines, and over target tokens of the query's.

    Over unmasked tokens, forward[q, y] = sum_i sum_j softmax_j(logits[i, j]) cos(e_i, t_j) and
    backward[q, y] = sum_j sum_i softmax_i(logits[i, j]) cos(e_i, t_j).

    Args:
      tau_a: attention temperature.
      logits: cosine or dot, divided by tau_a.
      bounded: the logits are cosines and tau_a is at least 0.05. exp((cos - 1) / tau_a), at least exp(-40), cannot
        underflow, and both directions share one exponential without computing maxima.
    """
    _, _, over_j, over_i = _both(q, y, tau_a, logits, bounded)
    forward = (over_j.values * q.mask.astype(jnp.float32)[:, :, None]).sum(axis=1)
    backward = (over_i.values * y.mask.astype(jnp.float32)[None, :, :]).sum(axis=2)
    return forward, backward


def _forward(q: Texts, y: Texts, tau_a: Array, logits: str, bounded: bool) -> tuple[Any, Any]:
    return soft_attention(q, y, tau_a, logits, bounded), (q, y, tau_a)


def _backward(
    logits: str, bounded: bool, residuals: tuple[Texts, Texts, Array], gradients: tuple[Array, Array]
) -> tuple[Any, Any, Array]:
    """With weights w and attended cosine a of a row: d a / d cos_j = w_j and d a / d logit_j = w_j (cos_j - a)."""
    q, y, tau_a = residuals
    cosine, scaled, over_j, over_i = _both(q, y, tau_a, logits, bounded)
    # Gradient of the loss in every row's attended cosine, over the row's sum of weights.
    row_j = (gradients[0][:, None, :] * q.mask[:, :, None] / over_j.sums)[:, :, :, None]
    row_i = (gradients[1][:, :, None] * y.mask[None, :, :] / over_i.sums)[:, None, :, :]
    share_j, share_i = over_j.weights * row_j, over_i.weights * row_i
    by_logit = share_j * (cosine - over_j.values[:, :, :, None]) + share_i * (cosine - over_i.values[:, None, :, :])
    by_cosine = share_j + share_i + by_logit * (_logit_scale(q, y, logits) / tau_a)
    by_cosine = by_cosine.astype(q.unit.dtype)
    unit_q = jnp.einsum("qiyj,yjd->qid", by_cosine, y.unit, preferred_element_type=jnp.float32).astype(q.unit.dtype)
    unit_y = jnp.einsum("qiyj,qid->yjd", by_cosine, q.unit, preferred_element_type=jnp.float32).astype(y.unit.dtype)
    norms_q = norms_y = None
    if logits == "dot":
        by_norms = by_logit * cosine / tau_a
        norms_q = jnp.einsum("qiyj,yj->qi", by_norms, y.norms)
        norms_y = jnp.einsum("qiyj,qi->yj", by_norms, q.norms)
    by_tau = -(by_logit * scaled).sum() / tau_a
    return Texts(unit_q, norms_q, None), Texts(unit_y, norms_y, None), by_tau


soft_attention.defvjp(_forward, _backward)
