"""Scores against ragged texts: targets are grouped by length, so that none is padded to the length of another.

The formulas are those of `scorers`; only the layout differs. Query tokens are packed one after another, target tokens
are the leading axis of their block, and one matrix product of unit vectors gives the cosines of all token pairs, which
the norms turn into raw dot products.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from uwe_jax.config import ScorerSettings
from uwe_jax.scoring.softmax import MASKED, attend, divisor
from uwe_jax.scoring.tokens import UnitTokens

# Up to this many query tokens the product is bound by reading the targets, whose rows then come first in it: on two
# CPU cores a quarter faster for eight tokens of width 768, slower for more.
_FEW = 8


class TokenBlock(NamedTuple):
    """n texts of at most t tokens: unit vectors, raw norms, and a mask [t, n], None where all texts have t tokens."""

    unit: Float[Array, "t n d"]
    norms: Float[Array, "t n"]
    mask: Any


class PackedTexts(NamedTuple):
    """Tokens of q texts, one text after another: the text of each token (-1 for padding) and token counts."""

    tokens: UnitTokens
    owner: Int[Array, " s"]
    counts: Int[Array, " q"]


def is_pooled(kind: str, *, query: bool) -> bool:
    """Tells whether a scorer uses the mean of one side's tokens, so that its texts are stored as one token each."""
    return kind == "mean_pool" or (kind == "soft_pooled" and not query)


def formula(settings: ScorerSettings) -> ScorerSettings:
    """Scorer settings that a ranking program is compiled for: without the temperature, which is an argument."""
    plain = ScorerSettings()
    return dataclasses.replace(settings, tau_a=plain.tau_a, learn_tau_a=plain.learn_tau_a, chunk=plain.chunk)


def _product(a: Array, b: Array) -> Float[Array, "a b"]:
    """a b^T in float32; exact for float32 operands on accelerators too, whose default has fewer bits."""
    return jnp.einsum("ad,bd->ab", a, b, precision=jax.lax.Precision.HIGHEST, preferred_element_type=jnp.float32)


def _token_scores(
    tokens: UnitTokens, targets: TokenBlock, tau_a: Float[Array, ""], settings: ScorerSettings
) -> Float[Array, "s n"]:
    """Contribution of every query token to the score of every target of a block."""
    t, n, d = targets.unit.shape
    s = tokens.unit.shape[0]
    rows = targets.unit.reshape(t * n, d)
    if s <= _FEW:
        cosine, axis = _product(rows, tokens.unit).reshape(t, n, s), 0
        norms = targets.norms[:, :, None] * tokens.norms[None, None, :]
    else:
        cosine, axis = _product(tokens.unit, rows).reshape(s, t, n), 1
        norms = tokens.norms[:, None, None] * targets.norms[None, :, :]
    mask = None if targets.mask is None else jnp.expand_dims(targets.mask, 2 - 2 * axis)
    if settings.kind == "soft":
        logits = (cosine if settings.logits == "cosine" else cosine * norms) / tau_a
        by_token = attend(cosine, logits, mask, axis).values
    elif mask is None:
        by_token = cosine.max(axis=axis)
    else:
        by_token = jnp.where(mask, cosine, MASKED).max(axis=axis)
        by_token = jnp.where(mask.any(axis=axis), by_token, 0.0)
    return by_token.T if s <= _FEW else by_token


def ragged_scores(
    queries: PackedTexts, targets: TokenBlock, tau_a: Float[Array, ""], settings: ScorerSettings
) -> Float[Array, "q n"]:
    """s(q, y) in float32 of packed queries against targets of one length, as `scorers.block_scores` defines it.

    Texts are given as one token each, their mean, where `is_pooled`. A query without tokens scores 0. With bfloat16
    tokens each cosine has a rounding error of about 2e-3.
    """
    q = queries.counts.shape[0]
    membership = (queries.owner[None, :] == jnp.arange(q)[:, None]).astype(jnp.float32)  # [q, s]
    if settings.kind == "soft_pooled":
        return _soft_pooled_scores(queries, membership, targets, tau_a, settings)
    if settings.reduce == "mean":
        membership = membership / jnp.maximum(queries.counts, 1).astype(jnp.float32)[:, None]
    return _product(membership, _token_scores(queries.tokens, targets, tau_a, settings).T)


def _soft_pooled_scores(
    queries: PackedTexts,
    membership: Float[Array, "q s"],
    targets: TokenBlock,
    tau_a: Float[Array, ""],
    settings: ScorerSettings,
) -> Float[Array, "q n"]:
    """`scorers.soft_pooled`: the softmax runs over the tokens of each query, here segments of the packed tokens."""
    cosine = _product(queries.tokens.unit, targets.unit[0])
    norms = queries.tokens.norms[:, None] * targets.norms[0][None, :]
    logits = (cosine if settings.logits == "cosine" else cosine * norms) / tau_a
    texts = membership.shape[0]
    # Padding has a segment of its own, which the membership leaves out.
    owner = jnp.where(queries.owner < 0, texts, queries.owner)
    peak = jax.ops.segment_max(logits, owner, num_segments=texts + 1, indices_are_sorted=True)
    weights = jnp.exp(logits - peak[owner])
    return _product(membership, (weights * cosine).T) / divisor(_product(membership, weights.T))
