"""Many-to-many InfoNCE: a softmax over a batch in which every row may have any number of positives; distillation."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from uwe_jax.scoring.softmax import MASKED


class RowSum(NamedTuple):
    """Sum over rows and their number, divided only after summing over devices."""

    total: Float[Array, ""]
    rows: Float[Array, ""]


def info_nce(
    scores: Float[Array, "r c"],
    positives: Bool[Array, "r c"],
    valid: Bool[Array, " c"],
    tau: float,
    *,
    drop_other_positives: bool = False,
    masked: Bool[Array, "r c"] | None = None,
) -> RowSum:
    """Sum over rows of  mean over positives y+ of  -log( exp(s(y+)/tau) / sum over y of exp(s(y)/tau) ).

    The paper's equation for L(Y|S); with every positive in the denominator it is the L_out of supervised contrastive
    learning. Two equal scores, one of them positive, give -log(1/2):

    >>> one = info_nce(jnp.ones((1, 2)), jnp.array([[True, False]]), jnp.ones(2, bool), tau=0.05)
    >>> round(float(one.total), 4), float(one.rows)
    (0.6931, 1.0)

    Args:
      valid: columns that take part; missing or repeated nodes are neither positives nor negatives.
      drop_other_positives: removes a row's other positives from the denominator of each of its positives.
      masked: pairs that are left out of their row's denominator; none of them is a positive.

    Returns:
      The sum over rows with at least one valid positive, and their number.
    """
    taking_part = valid[None, :] if masked is None else valid[None, :] & ~masked
    logits = jnp.where(taking_part, scores / tau, MASKED)
    positives = positives & valid[None, :]
    number = positives.sum(axis=1).astype(jnp.float32)
    if drop_other_positives:
        negatives = jnp.where(positives, MASKED, logits)
        denominator = jnp.logaddexp(jax.nn.logsumexp(negatives, axis=1)[:, None], logits)
    else:
        denominator = jax.nn.logsumexp(logits, axis=1)[:, None]
    losses = jnp.where(positives, denominator - logits, 0.0).sum(axis=1) / jnp.maximum(number, 1.0)
    return RowSum(losses.sum(), (number > 0).sum().astype(jnp.float32))


def distillation(
    scores: Float[Array, "q n"],
    teacher: Float[Array, "q n"],
    scored: Bool[Array, "q n"],
    kind: str,
    tau: float,
    teacher_tau: float,
) -> RowSum:
    """Sum over rows of the difference of scores from a teacher's, over the columns that it has scored.

    `kl` is the Kullback-Leibler divergence of softmax(scores / tau) from softmax(teacher / teacher_tau). `margin` is
    the mean over pairs of columns of ((s_i - s_j) - (t_i - t_j) tau / teacher_tau)^2, which brings the teacher's scores
    to our scale (MarginMSE: Hofstaetter et al. 2020, arXiv 2010.02666).

    >>> ours, theirs, both = jnp.array([[0.5, 0.1]]), jnp.array([[2.0, 1.0]]), jnp.ones((1, 2), bool)
    >>> round(float(distillation(ours, theirs, both, "margin", 0.1, 1.0).total), 4)  # (0.4 - 0.1)^2
    0.09

    Returns:
      The sum over rows with at least two scored columns, and their number.
    """
    number = scored.sum(axis=1).astype(jnp.float32)
    if kind == "kl":
        ours, theirs = (
            jax.nn.log_softmax(jnp.where(scored, each, MASKED), axis=1)
            for each in (scores / tau, teacher / teacher_tau)
        )
        losses = jnp.where(scored, jnp.exp(theirs) * (theirs - ours), 0.0).sum(axis=1)
    else:
        # Over all pairs, the mean square difference of d_i and d_j is twice the unbiased variance of d.
        apart = jnp.where(scored, scores - teacher * (tau / teacher_tau), 0.0)
        mean = apart.sum(axis=1) / jnp.maximum(number, 1.0)
        squares = jnp.where(scored, jnp.square(apart - mean[:, None]), 0.0).sum(axis=1)
        losses = 2.0 * squares / jnp.maximum(number - 1.0, 1.0)
    rows = number > 1
    return RowSum(jnp.where(rows, losses, 0.0).sum(), rows.sum().astype(jnp.float32))
