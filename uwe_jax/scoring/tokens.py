"""Token embeddings of texts, raw and split into direction and norm."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from uwe_jax.scoring.softmax import TINY


class Tokens(NamedTuple):
    """Token embeddings of a block of texts: embeddings [b, t, d] and a mask [b, t], true for real tokens."""

    embeddings: Float[Array, "b t d"]
    mask: Bool[Array, "b t"]


class UnitTokens(NamedTuple):
    """Token vectors [..., d] of length 1 and the raw vectors' norms [...]."""

    unit: Float[Array, "*b d"]
    norms: Float[Array, "*b"]


class Texts(NamedTuple):
    """What scorers read of a block of texts: unit token vectors, the raw vectors' norms, and the mask."""

    unit: Float[Array, "b t d"]
    norms: Any  # Float[Array, "b t"]; None in the gradient of a scorer that does not read it
    mask: Any  # Bool[Array, "b t"]; likewise


def inverse_norms(embeddings: Float[Array, "*b d"]) -> Float[Array, "*b"]:
    """1 / |e| in float32; finite, with finite gradients, for a zero vector."""
    squares = jnp.sum(jnp.square(embeddings.astype(jnp.float32)), axis=-1)
    return jax.lax.rsqrt(jnp.maximum(squares, TINY))


def unit_tokens(embeddings: Float[Array, "*b d"], dtype: DTypeLike) -> UnitTokens:
    """Splits raw token embeddings into direction, kept in `dtype`, and norm, in float32.

    Products of unit vectors are cosines, and the raw dot products follow by the norms: one matrix product serves both.
    """
    inverse = inverse_norms(embeddings)
    return UnitTokens((embeddings.astype(jnp.float32) * inverse[..., None]).astype(dtype), 1.0 / inverse)


def texts(tokens: Tokens) -> Texts:
    """A block of texts as scorers read it, in the embeddings' own dtype."""
    return Texts(*unit_tokens(tokens.embeddings, tokens.embeddings.dtype), tokens.mask)


def mean_embeddings(block: Texts) -> Float[Array, "b d"]:
    """Masked mean of the raw token embeddings, in float32; zero for a text without tokens."""
    mask = block.mask.astype(jnp.float32)
    total = jnp.einsum("btd,bt->bd", block.unit, mask * block.norms, preferred_element_type=jnp.float32)
    return total / jnp.maximum(mask.sum(axis=1), 1.0)[:, None]
