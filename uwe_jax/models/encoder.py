"""Text encoders: all families in one code path, from token ids to raw token embeddings."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from uwe_jax.models.config import TANH_GELU, EncoderConfig
from uwe_jax.models.encoder_parts import INITIALISER, Linear, Norm, dropped, exact_gelu
from uwe_jax.runtime.errors import UserError

# Numbers of the texts of a row, 0 for padding; or a mask of rows with one text.
Segments = Int[Array, "b i"] | Bool[Array, "b i"]
_FAR = 128  # relative positions of this distance and more share the last bucket


def relative_buckets(tokens: int, buckets: int) -> np.ndarray:
    """Bucket of the position of token j relative to token i, int [i, j] (T5, section 2.1).

    Half of the buckets are for tokens after i. In each half, the first half holds one distance each and the rest grow
    logarithmically up to a distance of 128.

    >>> relative_buckets(3, 32)
    array([[ 0, 17, 18],
           [ 1,  0, 17],
           [ 2,  1,  0]])
    """
    ahead = np.arange(tokens)[None, :] - np.arange(tokens)[:, None]
    distance = np.abs(ahead)
    half = buckets // 2
    exact = half // 2
    # float32, so that distances on the edge of a bucket are rounded as in PyTorch.
    growth = np.log(np.maximum(distance, 1).astype(np.float32) / np.float32(exact))
    far = exact + (growth / np.float32(math.log(_FAR / exact)) * np.float32(half - exact)).astype(np.int64)
    return np.where(distance < exact, distance, np.minimum(far, half - 1)) + half * (ahead > 0)


class RelativeBias(nn.Module):
    """Learned bias of every head's attention logits by relative position, one table for all layers."""

    config: EncoderConfig

    @nn.compact
    def __call__(self, tokens: int) -> Float[Array, "h i i"]:
        config = self.config
        shape = (config.relative_buckets, config.heads)
        table = self.param("embedding", INITIALISER, shape, jnp.float32)
        buckets = relative_buckets(tokens, config.relative_buckets)
        return jnp.take(table, buckets, axis=0).transpose(2, 0, 1)


class Places(NamedTuple):
    """Places of the tokens of rows.

    Attributes:
      segments: see `Encoder`.
      position: of each token in its text, for rotary positions; None for families with a table of positions.
      bias: of attention logits by relative position; None for none.
    """

    segments: Segments
    position: Int[Array, "b i"] | None
    bias: Float[Array, "h i i"] | None


def rotated(x: Float[Array, "b h i e"], position: Int[Array, "b i"], theta: float) -> Float[Array, "b h i e"]:
    """Rotates components (k, k + e/2) of each vector by position * theta^(-2k/e) (Su et al., "RoFormer").

    The product of two rotated vectors depends on the difference of their positions alone.
    """
    half = x.shape[-1] // 2
    speed = jnp.asarray(theta ** (-np.arange(half) / half), jnp.float32)
    angle = position.astype(jnp.float32)[:, None, :, None] * speed[None, None, None, :]
    a, b = x[..., :half].astype(jnp.float32), x[..., half:].astype(jnp.float32)
    turned = (a * jnp.cos(angle) - b * jnp.sin(angle), b * jnp.cos(angle) + a * jnp.sin(angle))
    return jnp.concatenate(turned, axis=-1).astype(x.dtype)


class SelfAttention(nn.Module):
    """x + dropout(W_o attention(x)), with a norm of the sum or, in `Family.pre_norm`, of what attends."""

    config: EncoderConfig
    index: int  # of the layer
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b i d"], places: Places, deterministic: bool) -> Float[Array, "b i d"]:
        config, family = self.config, self.config.family
        local = config.local_window > 0 and self.index % config.global_every > 0
        norm = Norm(config, self.dtype, name="norm")
        # The embeddings, which the first layer attends to, are normalised already.
        attending = norm(x) if family.pre_norm and self.index else x

        def project(features: int, name: str) -> Float[Array, "b i f"]:
            return Linear(features, family.biases, self.dtype, name=name)(attending)

        if family.fused:
            projected = jnp.split(project(3 * config.width, "qkv"), 3, axis=-1)
        else:
            projected = [project(config.width, name) for name in ("query", "key", "value")]
        query, key, value = (
            part.reshape(*x.shape[:2], config.heads, config.head_width).transpose(0, 2, 1, 3) for part in projected
        )
        if places.position is not None:
            theta = config.local_theta if local else config.global_theta
            query, key = (rotated(part, places.position, theta) for part in (query, key))
        logits = jnp.einsum("bhie,bhje->bhij", query, key, preferred_element_type=jnp.float32)
        logits = logits * (1.0 / math.sqrt(config.head_width))
        if places.bias is not None:
            logits = logits + places.bias[None]
        # Tokens attend to those of their own text, and padding to padding: no row of logits is masked as a whole.
        seen = places.segments[:, None, :, None] == places.segments[:, None, None, :]
        if local:
            column = np.arange(x.shape[1])  # the tokens of a text are in adjacent columns
            seen &= (np.abs(column[:, None] - column[None, :]) <= config.local_window // 2)[None, None]
        logits = jnp.where(seen, logits, jnp.finfo(jnp.float32).min)
        weights = jax.nn.softmax(logits, axis=-1).astype(self.dtype)
        weights = nn.Dropout(config.attention_dropout)(weights, deterministic)
        mixed = jnp.einsum("bhij,bhje->bhie", weights, value).transpose(0, 2, 1, 3).reshape(x.shape)
        out = Linear(config.width, family.biases, self.dtype, name="output")(mixed)
        out = dropped(out, config, family.mixed_dropout, deterministic) + x
        return out if family.pre_norm else norm(out)


class FeedForward(nn.Module):
    """x + dropout(W2 gelu(W1 x)), or x + W2 dropout(gelu(a) * b) where gated; with a norm as in `SelfAttention`."""

    config: EncoderConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b i d"], deterministic: bool) -> Float[Array, "b i d"]:
        config, family = self.config, self.config.family
        norm, dropout = Norm(config, self.dtype, name="norm"), nn.Dropout(config.hidden_dropout)
        up = Linear(config.intermediate * (2 if family.gated else 1), family.biases, self.dtype, name="up")
        hidden = up(norm(x) if family.pre_norm else x)
        hidden, *gates = jnp.split(hidden, 2, axis=-1) if family.gated else [hidden]
        hidden = nn.gelu(hidden) if config.activation in TANH_GELU else exact_gelu(hidden)
        for gate in gates:
            hidden = dropout(hidden * gate, deterministic)
        out = Linear(config.width, family.biases, self.dtype, name="down")(hidden)
        out = (out if gates else dropout(out, deterministic)) + x
        return out if family.pre_norm else norm(out)


def positions(segments: Segments, config: EncoderConfig) -> Int[Array, "b i"]:
    """Position ids, which restart at every text that follows another one in its row.

    They count columns from 0, padding before the first text as well, or real tokens from `pad_token_id + 1`; padding
    then has `pad_token_id` (`Family.positions`).
    """
    real, by_column = segments != 0, config.family.positions != "counted"
    counted = (real | by_column).astype(jnp.int32)
    count = jnp.cumsum(counted, axis=1) - counted  # before each token
    before = jnp.pad(segments, ((0, 0), (1, 0)))[:, :-1]
    restarts = (segments != before) & (before != 0)
    count -= jax.lax.cummax(jnp.where(restarts, count, 0), axis=1)
    return count if by_column else jnp.where(real, count + 1, 0) + config.pad_token_id


class Embeddings(nn.Module):
    """Norm(word (+ position) (+ token type 0)), with dropout; tables and sum in float32."""

    config: EncoderConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, token_ids: Int[Array, "b i"], segments: Segments, deterministic: bool) -> Float[Array, "b i d"]:
        config = self.config

        def table(name: str, rows: int) -> nn.Embed:
            return nn.Embed(rows, config.width, embedding_init=INITIALISER, name=name)

        x = table("word", config.vocab_size)(token_ids)
        if config.family.positions != "rotary":
            x = x + table("position", config.max_positions)(positions(segments, config))
        if config.token_types:
            x = x + table("token_type", config.token_types)(jnp.zeros((1, 1), jnp.int32))
        x = Norm(config, self.dtype, name="norm")(x)
        return dropped(x, config, config.family.embedding_dropout, deterministic)


class Layer(nn.Module):
    """Transformer layer: self-attention, then the feed-forward block."""

    config: EncoderConfig
    index: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b i d"], places: Places, deterministic: bool) -> Float[Array, "b i d"]:
        x = SelfAttention(self.config, self.index, self.dtype, name="attention")(x, places, deterministic)
        return FeedForward(self.config, self.dtype, name="feed_forward")(x, deterministic)


class Encoder(nn.Module):
    """Token embeddings of texts: the last hidden states of an encoder of any family, without a pooler.

    Attributes:
      dtype: of activations and matrix products, float32 or bfloat16. Parameters, the embeddings' sum, norms and the
        attention's softmax are always float32. On accelerators JAX may multiply float32 with fewer bits;
        `jax.default_matmul_precision("float32")` prevents it.
      remat: recomputes every layer's activations in the backward pass, with memory of about one layer.
      dropout: None takes both rates of the config, a number replaces both.
    """

    config: EncoderConfig
    dtype: Any = jnp.float32
    remat: bool = False
    dropout: float | None = None

    @nn.compact
    def __call__(
        self, token_ids: Int[Array, "b i"], segments: Segments, *, deterministic: bool = True
    ) -> Float[Array, "b i d"]:
        """Encodes rows of one text or several, each as if it were alone.

        Args:
          token_ids: with special tokens; the texts of a row one after another.
          segments: numbers of the tokens' texts, which differ within a row; 0 for padding, whose hidden states are
            finite and meaningless. Rows of one text need only a mask.
          deterministic: False applies dropout, with the random stream "dropout".

        Returns:
          Last hidden states in the compute dtype.

        Raises:
          UserError: the rows are longer than the encoder's maximum.
        """
        config = self.config
        tokens = token_ids.shape[1]
        if tokens > config.max_tokens:
            raise UserError(
                f"The rows have {tokens} tokens, but this {config.architecture} encoder has positions for "
                f"{config.max_tokens}. Lower the token length to at most {config.max_tokens}."
            )
        if self.dropout is not None:
            config = dataclasses.replace(config, hidden_dropout=self.dropout, attention_dropout=self.dropout)
        x = Embeddings(config, self.dtype, name="embeddings")(token_ids, segments, deterministic)
        bias = RelativeBias(config, name="relative_bias")(tokens) if config.relative_buckets else None
        position = positions(segments, config) if config.family.positions == "rotary" else None
        places = Places(segments, position, bias)
        # Arguments are counted from `self`: the third is `deterministic`, a Python bool.
        layer = nn.remat(Layer, static_argnums=(3,)) if self.remat else Layer
        for index in range(config.layers):
            x = layer(config, index, self.dtype, name=f"layer_{index}")(x, places, deterministic)
        return Norm(config, self.dtype, name="final_norm")(x) if config.family.pre_norm else x
