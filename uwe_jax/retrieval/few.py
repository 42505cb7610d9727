"""Scores of a few texts as one padded block: a target space on the devices would be compiled for their very number."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from uwe_jax.config import ScorerSettings
from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.scoring.scorers import block_scores
from uwe_jax.scoring.tokens import Tokens

# Token products, padding included: 4 MiB of float32.
_MOST = 2**20
_LEAST_TOKENS = 16


def padded_block(tokens: RaggedTokens) -> Tokens:
    """Texts in float32, filled up to lengths and numbers of few sizes, so that few programs are compiled."""
    shape = _shape(tokens)
    members = np.full(shape[0], -1)
    members[: len(tokens)] = np.arange(len(tokens))
    rows, mask = tokens.padded(members, shape[1])
    return Tokens(jnp.asarray(rows.swapaxes(0, 1), jnp.float32), jnp.asarray(mask.T))


def are_few(queries: RaggedTokens, targets: RaggedTokens) -> bool:
    """Whether `few_scores` is meant for them."""
    return len(queries) > 0 and len(targets) > 0 and math.prod(_shape(queries) + _shape(targets)) <= _MOST


def few_scores(queries: RaggedTokens, targets: RaggedTokens, scorer: ScorerSettings) -> np.ndarray:
    """s(q, y) of all pairs, float32 [q, n].

    Args:
      queries: raw token embeddings of q texts.
      targets: raw token embeddings of n texts.
      scorer: with the attention temperature to use.
    """
    scores = _program(scorer)(padded_block(queries), padded_block(targets), np.float32(scorer.tau_a))
    return np.asarray(scores)[: len(queries), : len(targets)]


def _shape(tokens: RaggedTokens) -> tuple[int, int]:
    """Texts and tokens of their padded block: powers of two."""
    longest = max(_LEAST_TOKENS, int(tokens.lengths.max()))
    return 1 << (len(tokens) - 1).bit_length(), 1 << (longest - 1).bit_length()


@functools.cache
def _program(scorer: ScorerSettings) -> jax.stages.Wrapped:
    return jax.jit(lambda q, y, tau_a: block_scores(q, y, tau_a, scorer).forward)
