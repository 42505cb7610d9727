"""The softmax over masked token products that every soft scorer takes."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

# Finite, so that a row of padding alone has finite logits, and a weight of zero instead of NaN.
MASKED = -1e30
# Of squares of norms, and shares, that are divided by.
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
      bound: an upper bound of the logits, which stands in for their maximum; that is then not looked for. No logit may
        be further than 80 below it, or its weight underflows.
    """
    if mask is not None:
        logits = jnp.where(mask, logits, MASKED)
    peak = jax.lax.stop_gradient(logits.max(axis=axis, keepdims=True)) if bound is None else bound
    weights = jnp.exp(logits - peak)
    if mask is not None:
        weights = weights * mask.astype(jnp.float32)
    sums = divisor(weights.sum(axis=axis))
    return Attended(weights, sums, (weights * values).sum(axis=axis) / sums)


def divisor(sums: Float[Array, "*p"]) -> Float[Array, "*p"]:
    """Sums of weights to divide by: 1 in the place of a 0, where no entry takes part.

    A floor would not do: under a bound, which is no maximum, the weights of a whole row may be small.
    """
    return jnp.where(sums == 0, 1.0, sums)
