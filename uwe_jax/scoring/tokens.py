"""Token embeddings of texts, raw and split into direction and norm."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from uwe_jax.scoring.softmax import TINY


class Tokens(NamedTuple):
    """Raw token embeddings of a block of texts, and a mask that is true for real tokens."""

    embeddings: Float[Array, "b t d"]
    mask: Bool[Array, "b t"]


class UnitTokens(NamedTuple):
    """Token vectors [..., d] of length 1 and the raw vectors' norms [...]."""

    unit: Float[Array, "*b d"]
    norms: Float[Array, "*b"]


class Texts(NamedTuple):
    """Unit token vectors, raw norms and mask of a block of texts: the input of scorers."""

    unit: Float[Array, "b t d"]
    norms: Any  # Float[Array, "b t"]; None in the gradient of a scorer that does not read it
    mask: Any  # Bool[Array, "b t"]; likewise


def unit_tokens(embeddings: Float[Array, "*b d"], dtype: DTypeLike) -> UnitTokens:
    """Splits raw embeddings into direction, in `dtype`, and norm, in float32; gradients are finite at zero vectors.

    Products of unit vectors are cosines, and the norms turn them into raw dot products: one matrix product serves both.
    """
    wide = embeddings.astype(jnp.float32)
    inverse = jax.lax.rsqrt(jnp.maximum(jnp.sum(jnp.square(wide), axis=-1), TINY))
    return UnitTokens((wide * inverse[..., None]).astype(dtype), 1.0 / inverse)


def texts(tokens: Tokens) -> Texts:
    """Splits the embeddings of a block, in their own dtype."""
    return Texts(*unit_tokens(tokens.embeddings, tokens.embeddings.dtype), tokens.mask)


def mean_embeddings(block: Texts) -> Float[Array, "b d"]:
    """Masked mean of the raw token embeddings, in float32; zero for a text without tokens."""
    mask = block.mask.astype(jnp.float32)
    total = jnp.einsum("btd,bt->bd", block.unit, mask * block.norms, preferred_element_type=jnp.float32)
    return total / jnp.maximum(mask.sum(axis=1), 1.0)[:, None]
