"""Self-attention among the tokens of one text, and MPNet's bias by relative position."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from uwe_jax.models.config import EncoderConfig
from uwe_jax.models.layers import INITIALISER, Linear, Norm

# Relative positions at this distance and beyond share the last bucket.
_FAR = 128


def relative_buckets(tokens: int, buckets: int) -> np.ndarray:
    """Which bucket the position of token j relative to token i falls into, int [i, j] (T5, section 2.1).

    Half of the buckets are for tokens after i. Of each half, the first half holds one distance each and the
    rest grow logarithmically up to a distance of 128.

    >>> relative_buckets(3, 32)
    array([[ 0, 17, 18],
           [ 1,  0, 17],
           [ 2,  1,  0]])
    """
    ahead = np.arange(tokens)[None, :] - np.arange(tokens)[:, None]
    distance = np.abs(ahead)
    half = buckets // 2
    exact = half // 2
    # float32, so that distances on the edge of a bucket fall as they do in PyTorch.
    growth = np.log(np.maximum(distance, 1).astype(np.float32) / np.float32(exact))
    far = exact + (growth / np.float32(math.log(_FAR / exact)) * np.float32(half - exact)).astype(np.int64)
    return np.where(distance < exact, distance, np.minimum(far, half - 1)) + half * (ahead > 0)


class RelativeBias(nn.Module):
    """A learned addition to every head's attention logits by relative position, one table for all layers."""

    config: EncoderConfig

    @nn.compact
    def __call__(self, tokens: int) -> Float[Array, "h i i"]:
        config = self.config
        shape = (config.relative_buckets, config.heads)
        table = self.param("embedding", INITIALISER, shape, jnp.float32)
        buckets = relative_buckets(tokens, config.relative_buckets)
        return jnp.take(table, buckets, axis=0).transpose(2, 0, 1)


class SelfAttention(nn.Module):
    """Norm(x + dropout(W_o attention(x))): the first half of a layer."""

    config: EncoderConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b i d"],
        mask: Bool[Array, "b i"],
        bias: Float[Array, "h i i"] | None,
        deterministic: bool,
    ) -> Float[Array, "b i d"]:
        config = self.config

        def heads_of(name: str) -> Float[Array, "b h i e"]:
            projected = Linear(config.width, self.dtype, name=name)(x)
            return projected.reshape(*x.shape[:2], config.heads, config.head_width).transpose(0, 2, 1, 3)

        query, key, value = heads_of("query"), heads_of("key"), heads_of("value")
        logits = jnp.einsum("bhie,bhje->bhij", query, key, preferred_element_type=jnp.float32)
        logits = logits * (1.0 / math.sqrt(config.head_width))
        if bias is not None:
            logits = logits + bias[None]
        # The lowest finite number, so that a row of padding alone attends evenly instead of giving NaN.
        logits = jnp.where(mask[:, None, None, :], logits, jnp.finfo(jnp.float32).min)
        weights = jax.nn.softmax(logits, axis=-1).astype(self.dtype)
        weights = nn.Dropout(config.attention_dropout)(weights, deterministic)
        mixed = jnp.einsum("bhij,bhje->bhie", weights, value).transpose(0, 2, 1, 3).reshape(x.shape)
        out = Linear(config.width, self.dtype, name="output")(mixed)
        out = nn.Dropout(config.hidden_dropout)(out, deterministic)
        return Norm(config, self.dtype, name="norm")(out + x)
