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


def _attended(
    q: Texts, y: Texts, cosine: Array, tau_a: Array, logits: str, bounded: bool
) -> tuple[Array, Attended, Attended]:
    """Returns the logits, and the cosines attended over target tokens [q, i, y] and over query tokens [q, y, j]."""
    scaled = cosine * (_logit_scale(q, y, logits) / tau_a)
    bound = 1.0 / tau_a if bounded else None
    over_j = attend(cosine, scaled, y.mask[None, None, :, :], 3, bound)
    over_i = attend(cosine, scaled, q.mask[:, :, None, None], 1, bound)
    return scaled, over_j, over_i


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def soft_attention(
    q: Texts, y: Texts, taus: tuple[Float[Array, ""], ...], logits: str, bounded: tuple[bool, ...]
) -> tuple[tuple[Float[Array, "q y"], Float[Array, "q y"]], ...]:
    """Sums over query tokens of the target's attended cosines, and over target tokens of the query's.

    Over unmasked tokens, forward[q, y] = sum_i sum_j softmax_j(logits[i, j] / tau) cos(e_i, t_j) and
    backward[q, y] = sum_j sum_i softmax_i(logits[i, j] / tau) cos(e_i, t_j), for every attention temperature tau from
    one product of all tokens.

    Args:
      taus: attention temperatures.
      logits: cosine or dot.
      bounded: by temperature: the logits are cosines and tau is at least 0.05. exp((cos - 1) / tau), at least exp(-40),
        cannot underflow, and both directions share one exponential without computing maxima.

    Returns:
      (forward, backward) by temperature.
    """
    cosine = cosines(q, y)
    sums = []
    for tau, bound in zip(taus, bounded, strict=True):
        _, over_j, over_i = _attended(q, y, cosine, tau, logits, bound)
        forward = (over_j.values * q.mask.astype(jnp.float32)[:, :, None]).sum(axis=1)
        backward = (over_i.values * y.mask.astype(jnp.float32)[None, :, :]).sum(axis=2)
        sums.append((forward, backward))
    return tuple(sums)


def _forward(
    q: Texts, y: Texts, taus: tuple[Array, ...], logits: str, bounded: tuple[bool, ...]
) -> tuple[Any, tuple[Texts, Texts, tuple[Array, ...]]]:
    return soft_attention(q, y, taus, logits, bounded), (q, y, taus)


def _backward(
    logits: str,
    bounded: tuple[bool, ...],
    residuals: tuple[Texts, Texts, tuple[Array, ...]],
    gradients: tuple[tuple[Array, Array], ...],
) -> tuple[Any, Any, tuple[Array, ...]]:
    """With weights w and attended cosine a of a row: d a / d cos_j = w_j and d a / d logit_j = w_j (cos_j - a)."""
    q, y, taus = residuals
    cosine = cosines(q, y)
    by_cosine = by_norms = jnp.zeros((), jnp.float32)
    by_taus = []
    for tau, bound, (by_forward, by_backward) in zip(taus, bounded, gradients, strict=True):
        scaled, over_j, over_i = _attended(q, y, cosine, tau, logits, bound)
        # Gradient of the loss in every row's attended cosine, over the row's sum of weights.
        row_j = (by_forward[:, None, :] * q.mask[:, :, None] / over_j.sums)[:, :, :, None]
        row_i = (by_backward[:, :, None] * y.mask[None, :, :] / over_i.sums)[:, None, :, :]
        share_j, share_i = over_j.weights * row_j, over_i.weights * row_i
        by_logit = share_j * (cosine - over_j.values[:, :, :, None]) + share_i * (cosine - over_i.values[:, None, :, :])
        by_cosine += share_j + share_i + by_logit * (_logit_scale(q, y, logits) / tau)
        by_taus.append(-(by_logit * scaled).sum() / tau)
        if logits == "dot":
            by_norms += by_logit * cosine / tau
    by_cosine = by_cosine.astype(q.unit.dtype)
    unit_q = jnp.einsum("qiyj,yjd->qid", by_cosine, y.unit, preferred_element_type=jnp.float32).astype(q.unit.dtype)
    unit_y = jnp.einsum("qiyj,qid->yjd", by_cosine, q.unit, preferred_element_type=jnp.float32).astype(y.unit.dtype)
    norms_q = norms_y = None
    if logits == "dot":
        norms_q = jnp.einsum("qiyj,yj->qi", by_norms, y.norms)
        norms_y = jnp.einsum("qiyj,qi->yj", by_norms, q.norms)
    return Texts(unit_q, norms_q, None), Texts(unit_y, norms_y, None), tuple(by_taus)


soft_attention.defvjp(_forward, _backward)
