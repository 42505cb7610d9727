"""Exact scores of a query's candidates, by the formulas of a target space."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from uwe_jax.config import ScorerSettings
from uwe_jax.distributed import parallel
from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.scoring.ragged import PackedTexts, TokenBlock, formula, is_pooled, ragged_scores
from uwe_jax.scoring.tokens import unit_tokens


def candidate_scores(
    query: RaggedTokens, targets: RaggedTokens, members: np.ndarray, scorer: ScorerSettings
) -> np.ndarray:
    """s(q, y) of one query and some targets; compiles once for numbers and lengths that share a power of two.

    Args:
      query: raw token embeddings of one text.
      targets: raw token embeddings.
      members: which targets [c], -1 for none.
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
    asked = np.full(_filled(len(members)), -1)
    asked[: len(members)] = members
    rows, mask = targets.padded(asked, _filled(int(targets.lengths[members].max())))
    counts = np.array([len(query.flat)], np.int32)
    program = parallel.program(_program, formula(scorer))
    return np.asarray(program(tokens, owner, counts, rows, mask, np.float32(scorer.tau_a)))[0, : len(members)]


def _filled(number: int) -> int:
    """What a number of tokens or targets is filled up to.

    >>> _filled(1), _filled(9)
    (8, 16)
    """
    return max(8, 1 << (number - 1).bit_length())


def _program(scorer: ScorerSettings) -> Callable:
    def score(
        tokens: jax.Array, owner: jax.Array, counts: jax.Array, rows: jax.Array, mask: jax.Array, tau_a: jax.Array
    ) -> jax.Array:
        queries = PackedTexts(unit_tokens(tokens, jnp.float32), owner, counts)
        targets = TokenBlock(*unit_tokens(rows, jnp.float32), mask)
        return ragged_scores(queries, targets, tau_a, scorer)

    return jax.jit(score)
