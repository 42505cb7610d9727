"""Contributions of pairs of tokens to a score, for all scorers in one form.

    s(q, y) = sum_i share[i] sum_j weight[i, j] cos(e_i, t_j)

Scorers over tokens have this form: weights are the attention over target tokens (all of it on the best one for MaxSim)
and every query token has the same share. A mean decomposes into its tokens: with ybar the mean of n target tokens,
cos(e_i, ybar) = sum_j |t_j| / (n |ybar|) cos(e_i, t_j), and likewise for the query's.

The sums of one pair of texts are so small that NumPy computes them, with nothing to compile.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from uwe_jax.config import ScorerSettings
from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.scoring.ragged import is_pooled
from uwe_jax.scoring.softmax import TINY


class Attribution(NamedTuple):
    """Shares [i], weights [i, j] and cosines [i, j] of one score, float32."""

    shares: Float[np.ndarray, " i"]
    weights: Float[np.ndarray, "i j"]
    cosines: Float[np.ndarray, "i j"]


def attribute(query: RaggedTokens, target: RaggedTokens, scorer: ScorerSettings) -> Attribution:
    """Decomposes the score of a query and a target.

    Args:
      query: raw token embeddings of one text of i tokens.
      target: raw token embeddings of one text of j tokens.
      scorer: with the attention temperature to use.
    """
    (q, q_norms), (y, y_norms) = _unit(query.flat), _unit(target.flat)
    cosines = q @ y.T
    if is_pooled(scorer.kind, query=False):
        weights = np.broadcast_to(_mean_shares(target.flat), cosines.shape)
    elif scorer.kind == "max_sim":
        weights = np.eye(len(y), dtype=np.float32)[cosines.argmax(axis=1)]
    else:
        weights = _attention(cosines, q_norms[:, None] * y_norms, scorer)
    if scorer.kind == "mean_pool":
        shares = _mean_shares(query.flat)
    elif scorer.kind == "soft_pooled":
        mean, norm = _unit(target.flat.mean(axis=0, dtype=np.float32))
        shares = _attention(q @ mean, q_norms * norm, scorer)
    else:
        shares = np.full(len(q), 1 / len(q) if scorer.reduce == "mean" else 1, np.float32)
    return Attribution(shares, weights, cosines)


def _unit(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns unit vectors [..., d] and norms [...], float32."""
    wide = tokens.astype(np.float32)
    norms = np.linalg.norm(wide, axis=-1)
    return wide / np.maximum(norms, TINY)[..., None], norms


def _attention(cosines: np.ndarray, norms: np.ndarray, scorer: ScorerSettings) -> np.ndarray:
    """Returns the softmax weights of the scorer's logits over the last axis; `norms` are products of both sides'."""
    logits = (cosines if scorer.logits == "cosine" else cosines * norms) / scorer.tau_a
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def _mean_shares(tokens: np.ndarray) -> np.ndarray:
    """Returns |t_j| / (n |mean|), the share of each token's direction in that of the mean."""
    _, norms = _unit(tokens)
    _, norm = _unit(tokens.mean(axis=0, dtype=np.float32))
    return norms / (len(tokens) * np.maximum(norm, TINY))
