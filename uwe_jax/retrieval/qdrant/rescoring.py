"""Vectors that Qdrant is queried with, and exact scores of the candidates that it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from uwe_jax.config import ScorerSettings
from uwe_jax.distributed import parallel
from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.retrieval.qdrant.upload import norms_of
from uwe_jax.scoring.ragged import PackedTexts, TokenBlock, formula, is_pooled, ragged_scores
from uwe_jax.scoring.tokens import unit_tokens


def query_vectors(queries: RaggedTokens, scorer: ScorerSettings, *, pooled_targets: bool) -> Iterator[list | None]:
    """Yields the tokens of every query, or one vector where targets are pooled; None for a query without tokens.

    Args:
      queries: raw token embeddings of q texts.
      scorer: that Qdrant's MaxSim is to approximate.
      pooled_targets: a target is the mean of its tokens.
    """
    lengths = queries.lengths
    if is_pooled(scorer.kind, query=True):
        queries = queries.pooled()
    elif pooled_targets:
        # The sum over i of cos(e_i, y) is the product of y's unit vector with the sum of the tokens' own.
        norms = np.maximum(norms_of(queries.flat), np.finfo(np.float32).tiny)
        queries = RaggedTokens(queries.flat.astype(np.float32) / norms[:, None], queries.offsets).pooled()
    for k, length in enumerate(lengths.tolist()):
        rows = queries.part(k, k + 1).flat.astype(np.float32).tolist()
        yield (rows[0] if pooled_targets else rows) if length else None


def candidate_scores(
    query: RaggedTokens, targets: RaggedTokens, members: np.ndarray, scorer: ScorerSettings
) -> np.ndarray:
    """Returns s(q, y) of one query and targets, float32 [c]; compiles once per power of two of numbers and lengths.

    Args:
      query: raw token embeddings of one text.
      targets: raw token embeddings.
      members: positions of the targets [c], -1 for none.
      scorer: as of `Searchable.search`.
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
    """Rounds a number of tokens or targets up to a power of two.

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
