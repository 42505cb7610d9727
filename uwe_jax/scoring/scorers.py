"""Scores of query and target texts from their token embeddings: soft late interaction and its relatives.

Every scorer returns both score matrices of a block, s(q, y) and s(y, q), from one matrix product; under jit, a
direction that the caller drops is not computed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from uwe_jax.config import SIDED, ScorerSettings
from uwe_jax.scoring.soft_attention import cosines, soft_attention
from uwe_jax.scoring.softmax import MASKED, attend, is_bounded
from uwe_jax.scoring.tokens import Texts, Tokens, mean_embeddings, texts, unit_tokens

Temperature = Float[Array, ""] | float
Temperatures = Temperature | tuple[Temperature, Temperature]  # of query tokens and of target tokens

# Token products kept at a time by default: on a CPU 4 MiB of float32 per tensor of that shape, which stay close to its
# caches; on an accelerator 256 MiB, since smaller chunks leave it waiting for launches.
_BUDGET = {"cpu": 2**20}
_ACCELERATOR_BUDGET = 64 * 2**20


class Scores(NamedTuple):
    """Both directions of a block: `forward[q, y]` = s(q, y) and `backward[q, y]` = s(y, q)."""

    forward: Float[Array, "q y"]
    backward: Float[Array, "q y"]


def temperature_pair(tau_a: Temperatures) -> tuple[Temperature, Temperature]:
    """Returns the attention temperatures of query and target tokens; a single one is that of both."""
    query, target = tau_a if isinstance(tau_a, tuple) else (tau_a, tau_a)
    alike = isinstance(query, float) and isinstance(target, float) and query == target
    return (query, query) if alike else (query, target)


def target_share(settings: ScorerSettings) -> float:
    """Returns the weight of the target's side in a score: 0 for side query, 1 for target, `target_weight` for both.

    It is 0 for scorers without sides.
    """
    if settings.kind not in SIDED:
        return 0.0
    return {"query": 0.0, "target": 1.0, "both": settings.target_weight}[settings.side]


def _token_counts(mask: Bool[Array, "b t"]) -> Float[Array, " b"]:
    return jnp.maximum(mask.sum(axis=1), 1).astype(jnp.float32)


class _Sums(NamedTuple):
    """Attended cosines, summed over the tokens of the queries and over those of the targets, [q, y] each."""

    over_queries: Array
    over_targets: Array


def _sided(by_query: _Sums, by_target: _Sums, q: Texts, y: Texts, settings: ScorerSettings) -> Scores:
    """Combines both sides of a score: the one formula of `ScorerSettings.side`.

    s(q, y) = (1 - w) mean over i of a_i + w mean over j of b_j, where query token i finds a_i in the target, target
    token j finds b_j in the query, and w is `target_share`.

    Args:
      by_query: at the attention temperature of query tokens; not read for side target.
      by_target: at that of target tokens; not read for side query.
    """
    by_query, by_target = (_mean(sums, q, y) if settings.reduce == "mean" else sums for sums in (by_query, by_target))
    weight = target_share(settings)
    if weight == 0:
        return Scores(by_query.over_queries, by_query.over_targets)
    if weight == 1:
        return Scores(by_target.over_targets, by_target.over_queries)
    return Scores(
        (1 - weight) * by_query.over_queries + weight * by_target.over_targets,
        (1 - weight) * by_query.over_targets + weight * by_target.over_queries,
    )


def _mean(sums: _Sums, q: Texts, y: Texts) -> _Sums:
    return _Sums(sums.over_queries / _token_counts(q.mask)[:, None], sums.over_targets / _token_counts(y.mask)[None, :])


def soft(q: Texts, y: Texts, tau_a: Temperatures, settings: ScorerSettings) -> Scores:
    """Soft late interaction: reduce over i of sum_j softmax_j(logits[i, j] / tau_a) cos(e_i, t_j).

    That is the query's side; see `_sided` for the target's and for both, the default.
    """
    pair = temperature_pair(tau_a)
    used = {"query": pair[:1], "target": pair[1:], "both": pair if pair[0] is not pair[1] else pair[:1]}[settings.side]
    bounded = tuple(is_bounded(tau, settings) for tau in used)
    taus = tuple(jnp.asarray(tau, jnp.float32) for tau in used)
    sums = [_Sums(*each) for each in soft_attention(q, y, taus, settings.logits, bounded)]
    return _sided(sums[0], sums[-1], q, y, settings)


def max_sim(q: Texts, y: Texts, tau_a: Temperatures, settings: ScorerSettings) -> Scores:
    """MaxSim: reduce over i of max_j cos(e_i, t_j) from the query's side, the limit of `soft` for tau_a -> 0."""
    del tau_a
    cosine = cosines(q, y)
    mask_y, mask_q = y.mask[None, None, :, :], q.mask[:, :, None, None]
    forward = jnp.where(mask_y, cosine, MASKED).max(axis=3)
    backward = jnp.where(mask_q, cosine, MASKED).max(axis=1)
    forward = jnp.where(q.mask[:, :, None] & y.mask.any(axis=1)[None, None, :], forward, 0.0)
    backward = jnp.where(y.mask[None, :, :] & q.mask.any(axis=1)[:, None, None], backward, 0.0)
    sums = _Sums(forward.sum(axis=1), backward.sum(axis=2))
    return _sided(sums, sums, q, y, settings)


def mean_pool(q: Texts, y: Texts, tau_a: Temperatures, settings: ScorerSettings) -> Scores:
    """Cosine of the masked means; the same in both directions."""
    del tau_a, settings
    mean_q, mean_y = (unit_tokens(mean_embeddings(side), jnp.float32).unit for side in (q, y))
    scores = jnp.einsum("qd,yd->qy", mean_q, mean_y)
    return Scores(scores, scores)


def soft_pooled(q: Texts, y: Texts, tau_a: Temperatures, settings: ScorerSettings) -> Scores:
    """Query tokens attend to the pooled target, as in ConTeXT-match; `reduce` is not used.

    With ybar the masked mean of the target, s(q, y) = sum_i softmax_i(logits[i] / tau_a) cos(e_i, ybar).
    """
    tau_a, _ = temperature_pair(tau_a)

    def one_way(a: Texts, b: Texts) -> Float[Array, "a b"]:
        pooled, norms = unit_tokens(mean_embeddings(b), a.unit.dtype)
        cosine = jnp.einsum("aid,bd->aib", a.unit, pooled, preferred_element_type=jnp.float32)
        scale = 1.0 if settings.logits == "cosine" else a.norms[:, :, None] * norms[None, None, :]
        return attend(cosine, cosine * scale / tau_a, a.mask[:, :, None], axis=1).values

    return Scores(one_way(q, y), one_way(y, q).T)


_SCORERS: dict[str, Callable[[Texts, Texts, Any, ScorerSettings], Scores]] = {
    "soft": soft,
    "max_sim": max_sim,
    "mean_pool": mean_pool,
    "soft_pooled": soft_pooled,
}


def block_scores(q: Tokens, y: Tokens, tau_a: Temperatures, settings: ScorerSettings) -> Scores:
    """Scores all pairs of q queries and y targets in both directions, at once.

    Two orthogonal tokens against one of them, query's side: attention e^1 : e^0 for tau_a = 1, cosines 1 and 0.

    >>> t = Tokens(jnp.eye(2)[None], jnp.ones((1, 2), bool))
    >>> e = Tokens(jnp.eye(2)[None, :1], jnp.ones((1, 1), bool))
    >>> scores = block_scores(e, t, 1.0, ScorerSettings(side="query"))
    >>> round(float(scores.forward[0, 0]), 4), float(scores.backward[0, 0])
    (0.7311, 0.5)

    Args:
      q: raw query token embeddings in any float dtype, [q, i, d].
      y: raw target token embeddings, [y, j, d].
      tau_a: attention temperature of `soft` and `soft_pooled`, or those of query and target tokens. A Python float of
        at least 0.05 saves `soft` over cosines a sweep of the token products.

    Returns:
      float32 scores [q, y] in both directions. A text without tokens scores 0 with everything.
    """
    return _SCORERS[settings.kind](texts(q), texts(y), tau_a, settings)


def pairwise_scores(q: Tokens, y: Tokens, tau_a: Temperatures, settings: ScorerSettings) -> Scores:
    """`block_scores` in chunks of queries, so that the [q, i, y, j] tensor of token products never exists at once.

    Chunks are of `settings.chunk` queries, or as many as a memory budget allows, and are rematerialised in the backward
    pass. The last chunk is padded with texts without tokens.
    """
    score = _SCORERS[settings.kind]
    # Split into direction and norm once, not chunk by chunk.
    whole, targets = texts(q), texts(y)
    queries, i = q.mask.shape
    products = i * y.mask.shape[0] * (1 if settings.kind == "soft_pooled" else y.mask.shape[1])
    chunk = settings.chunk or max(1, _BUDGET.get(jax.default_backend(), _ACCELERATOR_BUDGET) // products)
    if chunk >= queries or settings.kind == "mean_pool":
        return score(whole, targets, tau_a, settings)
    chunks = -(-queries // chunk)

    def cut(part: Array) -> Array:
        padded = jnp.pad(part, ((0, chunks * chunk - queries), *((0, 0),) * (part.ndim - 1)))
        return padded.reshape(chunks, chunk, *part.shape[1:])

    score_chunk = jax.checkpoint(lambda part: score(part, targets, tau_a, settings))
    scored = jax.lax.map(score_chunk, Texts(*map(cut, whole)))
    return Scores(*(matrix.reshape(chunks * chunk, -1)[:queries] for matrix in scored))
