"""Contributions of pairs of tokens to a score, for all scorers in one form.

    s(q, y) = sum_i share[i] sum_j weight[i, j] cos(e_i, t_j)

Scorers over tokens have this form: weights are the attention over target tokens (all of it on the best one for MaxSim)
and every query token has the same share. A mean decomposes into its tokens: with ybar the mean of n target tokens,
cos(e_i, ybar) = sum_j |t_j| / (n |ybar|) cos(e_i, t_j), and likewise for the query's.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from uwe_jax.config import ScorerSettings
from uwe_jax.distributed import parallel
from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.scoring.ragged import formula, is_pooled
from uwe_jax.scoring.soft_attention import cosines
from uwe_jax.scoring.softmax import MASKED, attend
from uwe_jax.scoring.tokens import Texts, Tokens, mean_embeddings, texts, unit_tokens

_LEAST_TOKENS = 16


class Attribution(NamedTuple):
    """Shares [i], weights [i, j] and cosines [i, j] of one score, float32."""

    shares: np.ndarray
    weights: np.ndarray
    cosines: np.ndarray


def attribute(query: RaggedTokens, target: RaggedTokens, scorer: ScorerSettings) -> Attribution:
    """Decomposes the score of a query and a target.

    Args:
      query: raw token embeddings of one text of i tokens.
      target: raw token embeddings of one text of j tokens.
      scorer: with the attention temperature to use.
    """
    program = parallel.program(_program, formula(scorer))
    parts = program(_padded(query), _padded(target), np.float32(scorer.tau_a))
    shares, weights, cosine = (np.asarray(part) for part in parts)
    i, j = len(query.flat), len(target.flat)
    return Attribution(shares[:i], weights[:i, :j], cosine[:i, :j])


def _padded(text: RaggedTokens) -> Tokens:
    """Pads one text, in float32, to a power of two of tokens, so that few programs are compiled."""
    rows, mask = text.padded(np.zeros(1, np.int64), max(_LEAST_TOKENS, 1 << (len(text.flat) - 1).bit_length()))
    return Tokens(jnp.asarray(rows.swapaxes(0, 1), jnp.float32), jnp.asarray(mask.T))


def _program(scorer: ScorerSettings) -> jax.stages.Wrapped:
    return jax.jit(lambda q, y, tau_a: _parts(texts(q), texts(y), tau_a, scorer))


def _parts(
    q: Texts, y: Texts, tau_a: Float[Array, ""], scorer: ScorerSettings
) -> tuple[Float[Array, " i"], Float[Array, "i j"], Float[Array, "i j"]]:
    cosine = cosines(q, y)[0, :, 0, :]
    if is_pooled(scorer.kind, query=False):
        weights = jnp.broadcast_to(_mean_shares(y)[None, :], cosine.shape)
    elif scorer.kind == "max_sim":
        best = jnp.where(y.mask, cosine, MASKED).argmax(axis=1)
        weights = jax.nn.one_hot(best, cosine.shape[1])
    else:
        weights = _attention(cosine, q.norms[0, :, None] * y.norms, y.mask, 1, tau_a, scorer)
    return _shares(q, y, tau_a, scorer), weights, cosine


def _shares(q: Texts, y: Texts, tau_a: Float[Array, ""], scorer: ScorerSettings) -> Float[Array, " i"]:
    if scorer.kind == "mean_pool":
        return _mean_shares(q)
    if scorer.kind == "soft_pooled":
        mean = unit_tokens(mean_embeddings(y), jnp.float32)
        return _attention(q.unit[0] @ mean.unit[0], q.norms[0] * mean.norms, q.mask[0], 0, tau_a, scorer)
    counted = q.mask[0].astype(jnp.float32)
    return counted / counted.sum() if scorer.reduce == "mean" else counted


def _attention(cosine: Array, norms: Array, mask: Array, axis: int, tau_a: Array, scorer: ScorerSettings) -> Array:
    """Returns the softmax weights of the scorer's logits over an axis; `norms` are products of both sides' norms."""
    logits = (cosine if scorer.logits == "cosine" else cosine * norms) / tau_a
    attended = attend(cosine, logits, mask, axis)
    return attended.weights / jnp.expand_dims(attended.sums, axis)


def _mean_shares(side: Texts) -> Float[Array, " t"]:
    """Returns |t_j| / (n |mean|), the share of each token's direction in that of the mean."""
    counted = side.mask[0].astype(jnp.float32)
    mean = unit_tokens(mean_embeddings(side), jnp.float32)
    return counted * side.norms[0] / (counted.sum() * mean.norms[0])
