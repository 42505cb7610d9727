"""The softmax over masked token products that every soft scorer takes."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

# Finite, so that a row of padding alone has finite logits, and a weight of zero instead of NaN.
MASKED = -1e30
# Stands under a division where nothing was summed.
TINY = 1e-12


class Attended(NamedTuple):
    """Softmax weights before division, their sums over the axis, and what they attend to."""

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
    """sum over `axis` of softmax(logits) * values, in float32.

    Args:
      values: what is attended to.
      logits: as the values.
      mask: true where an entry takes part, with ones where it is broadcast; None masks nothing. A row without any entry
        attends to 0.
      axis: of the softmax.
      bound: an upper bound of the logits near enough to stand in for their maximum, which then is not looked for.
    """
    if mask is not None:
        logits = jnp.where(mask, logits, MASKED)
    peak = jax.lax.stop_gradient(logits.max(axis=axis, keepdims=True)) if bound is None else bound
    weights = jnp.exp(logits - peak)
    if mask is not None:
        weights = weights * mask.astype(jnp.float32)
    sums = jnp.maximum(weights.sum(axis=axis), TINY)
    return Attended(weights, sums, (weights * values).sum(axis=axis) / sums)
