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

from uwe_jax.config import SIDED, ScorerSettings
from uwe_jax.scoring.scorers import target_share
from uwe_jax.scoring.softmax import MASKED, attend, divisor, is_bounded
from uwe_jax.scoring.tokens import UnitTokens

# Up to this many query tokens the product is bound by reading the targets, whose rows then come first in it: on two
# CPU cores a quarter faster for eight tokens of width 768, slower for more.
_FEW = 8
_MOST_POWER = 8


class TokenBlock(NamedTuple):
    """n texts of at most t tokens: unit vectors, raw norms, and a mask [t, n], None where all texts have t tokens."""

    unit: Float[Array, "t n d"]
    norms: Float[Array, "t n"]
    mask: Any


class PackedTargets(NamedTuple):
    """n texts of at most t tokens, packed one after another: the row of each token, -1 where a text is shorter."""

    tokens: UnitTokens
    rows: Int[Array, "t n"]


class PackedTexts(NamedTuple):
    """Tokens of q texts, one text after another: the text of each token (-1 for padding) and token counts."""

    tokens: UnitTokens
    owner: Int[Array, " s"]
    counts: Int[Array, " q"]


def is_pooled(kind: str, *, query: bool) -> bool:
    """Tells whether a scorer uses the mean of one side's tokens, so that its texts are stored as one token each."""
    return kind == "mean_pool" or (kind == "soft_pooled" and not query)


class Exponentials(NamedTuple):
    """How a program computes the soft scorer's exponentials, given the temperatures it runs with.

    Attributes:
      bounded, target_bounded: see `softmax.is_bounded`, of query tokens' and of target tokens' attention.
      power: the target's weights exp(x / target_tau_a) are those of the query to this power; 0: no whole number.
    """

    bounded: bool
    target_bounded: bool
    power: int


def exponentials(tau_a: tuple[float, float], settings: ScorerSettings) -> Exponentials:
    """Chooses the way to compute a soft score; one exponential serves both sides where it can.

    >>> exponentials((0.3, 0.1), ScorerSettings())
    Exponentials(bounded=True, target_bounded=True, power=3)
    """
    query, target = (is_bounded(tau, settings) for tau in tau_a)
    ratio = tau_a[0] / tau_a[1]
    whole = query and target and abs(ratio - round(ratio)) < 1e-6 and round(ratio) <= _MOST_POWER
    return Exponentials(query, target, round(ratio) if whole else 0)


def formula(settings: ScorerSettings) -> ScorerSettings:
    """Scorer settings that a ranking program is compiled for: without the temperatures, which are arguments.

    A scorer without sides takes the query's, which is the least work.
    """
    plain = ScorerSettings()
    fixed = {name: getattr(plain, name) for name in ("tau_a", "target_tau_a", "learn_tau_a", "chunk")}
    return dataclasses.replace(settings, side=settings.side if settings.kind in SIDED else "query", **fixed)


def _product(a: Array, b: Array) -> Float[Array, "a b"]:
    """a b^T in float32; exact for float32 operands on accelerators too, whose default has fewer bits."""
    return jnp.einsum("ad,bd->ab", a, b, precision=jax.lax.Precision.HIGHEST, preferred_element_type=jnp.float32)


def ragged_scores(
    queries: PackedTexts,
    targets: TokenBlock | PackedTargets,
    tau_a: Float[Array, " 2"],
    settings: ScorerSettings,
    how: Exponentials,
) -> Float[Array, "q n"]:
    """s(q, y) in float32 of packed queries against targets, as `scorers.block_scores` defines it.

    Texts are given as one token each, their mean, where `is_pooled`. A query without tokens scores 0. With bfloat16
    tokens each cosine has a rounding error of about 2e-3.

    Args:
      targets: of one length, or packed where the scorer does not pool them.
      tau_a: attention temperatures of query and target tokens.
      how: `exponentials` of these temperatures.
    """
    q = queries.counts.shape[0]
    membership = (queries.owner[None, :] == jnp.arange(q)[:, None]).astype(jnp.float32)  # [q, s]
    if settings.kind == "soft_pooled":
        assert isinstance(targets, TokenBlock)
        return _soft_pooled_scores(queries, membership, targets, tau_a[0], settings)
    block = _Products.of(queries.tokens, targets)
    if settings.kind == "soft":
        by_query, by_target = _soft_tokens(queries, membership, block, tau_a, settings, how)
    else:
        by_query, by_target = _best_tokens(queries, block, settings)
    scores = jnp.zeros((), jnp.float32)
    if by_query is not None:
        shares = membership / jnp.maximum(queries.counts, 1)[:, None] if settings.reduce == "mean" else membership
        scores += (1 - target_share(settings)) * _product(shares, by_query.T)
    if by_target is not None:  # [q, t, n]
        if block.mask is not None:
            by_target = by_target * block.mask[None]
        total = by_target.sum(axis=1)
        if settings.reduce == "mean":
            real = by_target.shape[1] if block.mask is None else jnp.maximum(block.mask.sum(axis=0), 1)[None, :]
            total = total / real
        scores += target_share(settings) * total
    return scores


class _Products(NamedTuple):
    """Cosines of packed query tokens and target tokens, [s, t, n], or [t, n, s] if `few` are multiplied."""

    cosine: Array
    norms: Array  # products of the raw norms, in the same shape
    mask: Array | None  # [t, n]
    few: bool

    @classmethod
    def of(cls, tokens: UnitTokens, targets: TokenBlock | PackedTargets) -> _Products:
        if isinstance(targets, PackedTargets):
            cosine = _product(targets.tokens.unit, tokens.unit)[targets.rows]
            norms = targets.tokens.norms[targets.rows][:, :, None] * tokens.norms[None, None, :]
            return cls(cosine, norms, targets.rows >= 0, True)
        t, n, d = targets.unit.shape
        s = tokens.unit.shape[0]
        rows = targets.unit.reshape(t * n, d)
        if s <= _FEW:
            norms = targets.norms[:, :, None] * tokens.norms[None, None, :]
            return cls(_product(rows, tokens.unit).reshape(t, n, s), norms, targets.mask, True)
        norms = tokens.norms[:, None, None] * targets.norms[None, :, :]
        return cls(_product(tokens.unit, rows).reshape(s, t, n), norms, targets.mask, False)

    def logits(self, tau: Array, settings: ScorerSettings) -> Array:
        return (self.cosine if settings.logits == "cosine" else self.cosine * self.norms) / tau

    @property
    def target_axis(self) -> int:
        return 0 if self.few else 1

    @property
    def target_mask(self) -> Array | None:
        return None if self.mask is None else jnp.expand_dims(self.mask, 2 if self.few else 0)

    def by_token(self, values: Array) -> Float[Array, "s n"]:
        return values.T if self.few else values


def _soft_tokens(
    queries: PackedTexts,
    membership: Float[Array, "q s"],
    block: _Products,
    tau_a: Float[Array, " 2"],
    settings: ScorerSettings,
    how: Exponentials,
) -> tuple[Array | None, Array | None]:
    """Attended cosines of query tokens [s, n] and of target tokens [q, t, n]; None for a side that is not used."""
    by_query = by_target = attended = None
    if settings.side != "target":
        bound = 1.0 / tau_a[0] if how.bounded else None
        logits = block.logits(tau_a[0], settings)
        attended = attend(block.cosine, logits, block.target_mask, block.target_axis, bound)
        by_query = block.by_token(attended.values)
    if settings.side != "query":
        if attended is not None and how.power:
            # Masked target tokens have weights of 0 here, and values that are not read.
            weights = attended.weights**how.power
        else:
            logits = block.logits(tau_a[1], settings)
            weights = jnp.exp(logits - (1.0 / tau_a[1] if how.target_bounded else _peaks(queries, logits, block.few)))
        letters = "tns,qs->qtn" if block.few else "stn,qs->qtn"
        values, sums = (_sums(letters, each, membership) for each in (weights * block.cosine, weights))
        by_target = values / divisor(sums)
    return by_query, by_target


def _sums(letters: str, values: Array, membership: Array) -> Float[Array, "q t n"]:
    """Sums over the tokens of every query."""
    return jnp.einsum(letters, values, membership, precision=jax.lax.Precision.HIGHEST)


def _peaks(queries: PackedTexts, values: Array, few: bool) -> Array:
    """Largest value among the tokens of the same query, in the shape of `values`."""
    leading = jnp.moveaxis(values, -1, 0) if few else values
    peaks = _segment_max(queries, leading)[_segments(queries)]
    return jnp.moveaxis(peaks, 0, -1) if few else peaks


def _segments(queries: PackedTexts) -> Int[Array, " s"]:
    """Query of each token; padding has a segment of its own, after those of the queries."""
    return jnp.where(queries.owner < 0, queries.counts.shape[0], queries.owner)


def _segment_max(queries: PackedTexts, values: Float[Array, "s ..."]) -> Float[Array, "segments ..."]:
    number = queries.counts.shape[0] + 1
    return jax.ops.segment_max(values, _segments(queries), num_segments=number, indices_are_sorted=True)


def _best_tokens(queries: PackedTexts, block: _Products, settings: ScorerSettings) -> tuple[Array | None, Array | None]:
    """Best cosines of query tokens [s, n] and of target tokens [q, t, n]; None for a side that is not used."""
    by_query = by_target = None
    if settings.side != "target":
        mask = block.target_mask
        if mask is None:
            best = block.cosine.max(axis=block.target_axis)
        else:
            best = jnp.where(mask, block.cosine, MASKED).max(axis=block.target_axis)
            best = jnp.where(mask.any(axis=block.target_axis), best, 0.0)
        by_query = block.by_token(best)
    if settings.side != "query":
        leading = jnp.moveaxis(block.cosine, -1, 0) if block.few else block.cosine
        by_target = _segment_max(queries, leading)[:-1]
        by_target = jnp.where(queries.counts[:, None, None] > 0, by_target, 0.0)
    return by_query, by_target


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
    # The membership leaves the padding out.
    weights = jnp.exp(logits - _peaks(queries, logits, few=False))
    return _product(membership, (weights * cosine).T) / divisor(_product(membership, weights.T))
