"""Exact scores of a query's candidates, by the formulas of a target space."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from uwe_jax.config import ScorerSettings
from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.scoring.ragged import PackedTexts, TokenBlock, is_pooled, ragged_scores
from uwe_jax.scoring.tokens import unit_tokens


def candidate_scores(
    query: RaggedTokens, targets: RaggedTokens, members: np.ndarray, scorer: ScorerSettings
) -> np.ndarray:
    """s(q, y) of one query and some targets; compiles once for lengths that share a power of two.

    Args:
      query: raw token embeddings of one text.
      targets: raw token embeddings.
      members: which targets [c], -1 for none; calls with one c share a program.
      scorer: as of `Searchable.search`.

    Returns:
      float32 [c].
    """
    if is_pooled(scorer.kind, query=True):
        query = query.pooled()
    if is_pooled(scorer.kind, query=False):
        targets = targets.pooled()
    tokens = np.zeros((_filled(len(query.flat)), query.width), np.float32)
    tokens[: len(query.flat)] = query.flat
    owner = np.full(len(tokens), -1, np.int32)
    owner[: len(query.flat)] = 0
    rows, mask = targets.padded(members, _filled(int(targets.lengths[members].max())))
    counts = np.array([len(query.flat)], np.int32)
    program = _program(dataclasses.replace(scorer, tau_a=ScorerSettings().tau_a, learn_tau_a=False))
    return np.asarray(program(tokens, owner, counts, rows, mask, np.float32(scorer.tau_a)))[0]


def _filled(tokens: int) -> int:
    """The length that so many tokens are filled up to.

    >>> _filled(1), _filled(9)
    (8, 16)
    """
    return max(8, 1 << (tokens - 1).bit_length())


@functools.cache
def _program(scorer: ScorerSettings) -> Callable:
    def score(
        tokens: jax.Array, owner: jax.Array, counts: jax.Array, rows: jax.Array, mask: jax.Array, tau_a: jax.Array
    ) -> jax.Array:
        queries = PackedTexts(unit_tokens(tokens, jnp.float32), owner, counts)
        targets = TokenBlock(*unit_tokens(rows, jnp.float32), mask)
        return ragged_scores(queries, targets, tau_a, scorer)

    return jax.jit(score)
