"""Masked softmax of the soft scorers."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from uwe_jax.config import ScorerSettings

# Finite, so that a row of padding alone has a weight of zero instead of NaN.
MASKED = -1e30
_SMALLEST_BOUNDED_TAU = 0.05
TINY = 1e-12  # least square of a norm that is divided by


class Attended(NamedTuple):
    """Softmax weights before division, their sums over the axis, and the attended values."""

    weights: Float[Array, "*p"]
    sums: Array
    values: Array


def attend(
    values: Float[Array, "*p"],
    logits: Float[Array, "*p"],
    mask: Bool[Array, ...] | None,
    axis: int,
    bound: Array | None = None,
) -> Attended:
    """Computes sum over `axis` of softmax(logits) * values in float32; a row without unmasked entries attends to 0.

    Args:
      mask: true for entries that take part, with size 1 on broadcast axes; None masks nothing.
      bound: upper bound of the logits, used instead of their maximum, which is then not computed. A logit more than 80
        below it underflows.
    """
    if mask is not None:
        logits = jnp.where(mask, logits, MASKED)
    peak = jax.lax.stop_gradient(logits.max(axis=axis, keepdims=True)) if bound is None else bound
    weights = jnp.exp(logits - peak)
    if mask is not None:
        weights = weights * mask.astype(jnp.float32)
    sums = divisor(weights.sum(axis=axis))
    return Attended(weights, sums, (weights * values).sum(axis=axis) / sums)


def is_bounded(tau: object, settings: ScorerSettings) -> bool:
    """Tells whether exp((cos - 1) / tau) cannot underflow, so that a softmax of cosines needs no maxima.

    From a `tau` of 0.05 on it is at least exp(-40) = 4e-18, far above float32's smallest normal number, 1e-38; a
    gradient divided by a sum of such weights is equally far from overflow. A traced `tau` has no known value.
    """
    return settings.logits == "cosine" and isinstance(tau, float) and tau >= _SMALLEST_BOUNDED_TAU


def divisor(sums: Float[Array, "*p"]) -> Float[Array, "*p"]:
    """Replaces sums of 0 (rows without entries) by 1; not a floor, since under `bound` valid sums may be tiny."""
    return jnp.where(sums == 0, 1.0, sums)
