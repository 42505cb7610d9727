"""Text encoders: BERT and MPNet in one code path, from token ids to raw token embeddings."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from uwe_jax.models.config import TANH_GELU, EncoderConfig
from uwe_jax.runtime.errors import UserError

_INITIALISER = nn.initializers.normal(0.02)  # of both architectures' first training
# Numbers of the texts of a row, 0 for padding; or a mask of rows with one text.
Segments = Int[Array, "b i"] | Bool[Array, "b i"]
_FAR = 128  # relative positions of this distance and more share the last bucket


class Linear(nn.Module):
    """x W + b over flattened rows: on a CPU the backward pass over [b, i] is a tenth slower."""

    features: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b i d"]) -> Float[Array, "b i f"]:
        kernel = self.param("kernel", _INITIALISER, (x.shape[-1], self.features), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        rows = x.astype(self.dtype).reshape(-1, x.shape[-1])
        out = rows @ kernel.astype(self.dtype) + bias.astype(self.dtype)[None, :]
        return out.reshape(*x.shape[:-1], self.features)


class Norm(nn.Module):
    """LayerNorm, computed in float32 and returned in the compute dtype."""

    config: EncoderConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b i d"]) -> Float[Array, "b i d"]:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],), jnp.float32)
        x = x.astype(jnp.float32)
        centred = x - x.mean(axis=-1, keepdims=True)
        # The mean of squared deviations: E[x^2] - E[x]^2 loses digits that parity with PyTorch needs.
        variance = jnp.square(centred).mean(axis=-1, keepdims=True)
        normed = centred * jax.lax.rsqrt(variance + self.config.layer_norm_eps)
        return (normed * scale[None, None, :] + bias[None, None, :]).astype(self.dtype)


@jax.custom_vjp
def exact_gelu(x: Float[Array, "*b"]) -> Float[Array, "*b"]:
    """x Phi(x) with Phi the normal distribution function, in float32 inside (Hendrycks and Gimpel 2016).

    `jax.nn.gelu` uses erfc, which takes twice as long on a CPU; erf agrees with it to 1e-6. The backward pass keeps
    only x, in its own dtype.
    """
    return (x * _normal_cdf(x)).astype(x.dtype)


def _normal_cdf(x: Array) -> Array:
    return 0.5 * (1.0 + jax.lax.erf(x.astype(jnp.float32) * math.sqrt(0.5)))


def _exact_gelu_backward(x: Array, grad: Array) -> tuple[Array]:
    wide = x.astype(jnp.float32)
    density = jnp.exp(-0.5 * jnp.square(wide)) * (1.0 / math.sqrt(2.0 * math.pi))
    return ((grad.astype(jnp.float32) * (_normal_cdf(x) + wide * density)).astype(x.dtype),)


exact_gelu.defvjp(lambda x: (exact_gelu(x), x), _exact_gelu_backward)


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
        table = self.param("embedding", _INITIALISER, shape, jnp.float32)
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
        segments: Segments,
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
        # Tokens attend to those of their own text, and padding to padding: no row of logits is masked as a whole.
        same = segments[:, None, :, None] == segments[:, None, None, :]
        logits = jnp.where(same, logits, jnp.finfo(jnp.float32).min)
        weights = jax.nn.softmax(logits, axis=-1).astype(self.dtype)
        weights = nn.Dropout(config.attention_dropout)(weights, deterministic)
        mixed = jnp.einsum("bhij,bhje->bhie", weights, value).transpose(0, 2, 1, 3).reshape(x.shape)
        out = Linear(config.width, self.dtype, name="output")(mixed)
        out = nn.Dropout(config.hidden_dropout)(out, deterministic)
        return Norm(config, self.dtype, name="norm")(out + x)


class FeedForward(nn.Module):
    """Norm(x + dropout(W2 gelu(W1 x))): the second half of a layer."""

    config: EncoderConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b i d"], deterministic: bool) -> Float[Array, "b i d"]:
        config = self.config
        hidden = Linear(config.intermediate, self.dtype, name="up")(x)
        hidden = nn.gelu(hidden) if config.activation in TANH_GELU else exact_gelu(hidden)
        out = Linear(config.width, self.dtype, name="down")(hidden)
        out = nn.Dropout(config.hidden_dropout)(out, deterministic)
        return Norm(config, self.dtype, name="norm")(out + x)


def positions(segments: Segments, config: EncoderConfig) -> Int[Array, "b i"]:
    """Position ids, which restart at every text that follows another one in its row.

    BERT counts columns from 0, padding before the first text as well. MPNet counts real tokens from `pad_token_id + 1`;
    padding has `pad_token_id`.
    """
    real = segments != 0
    counted = (real | (config.architecture == "bert")).astype(jnp.int32)
    count = jnp.cumsum(counted, axis=1) - counted  # before each token
    before = jnp.pad(segments, ((0, 0), (1, 0)))[:, :-1]
    restarts = (segments != before) & (before != 0)
    count -= jax.lax.cummax(jnp.where(restarts, count, 0), axis=1)
    return count if config.architecture == "bert" else jnp.where(real, count + 1, 0) + config.pad_token_id


class Embeddings(nn.Module):
    """Norm(word + position (+ token type 0)), with dropout; tables and sum in float32."""

    config: EncoderConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, token_ids: Int[Array, "b i"], segments: Segments, deterministic: bool) -> Float[Array, "b i d"]:
        config = self.config

        def table(name: str, rows: int) -> nn.Embed:
            return nn.Embed(rows, config.width, embedding_init=_INITIALISER, name=name)

        x = table("word", config.vocab_size)(token_ids)
        x = x + table("position", config.max_positions)(positions(segments, config))
        if config.token_types:
            x = x + table("token_type", config.token_types)(jnp.zeros((1, 1), jnp.int32))
        x = Norm(config, self.dtype, name="norm")(x)
        return nn.Dropout(config.hidden_dropout)(x, deterministic)


class Layer(nn.Module):
    """Transformer layer: self-attention, then the feed-forward block, each with a norm after its residual sum."""

    config: EncoderConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b i d"],
        segments: Segments,
        bias: Float[Array, "h i i"] | None,
        deterministic: bool,
    ) -> Float[Array, "b i d"]:
        x = SelfAttention(self.config, self.dtype, name="attention")(x, segments, bias, deterministic)
        return FeedForward(self.config, self.dtype, name="feed_forward")(x, deterministic)


class Encoder(nn.Module):
    """Token embeddings of texts: the last hidden states of BERT or MPNet, without a pooler.

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
        # Arguments are counted from `self`: the fourth is `deterministic`, a Python bool.
        layer = nn.remat(Layer, static_argnums=(4,)) if self.remat else Layer
        for index in range(config.layers):
            x = layer(config, self.dtype, name=f"layer_{index}")(x, segments, bias, deterministic)
        return x
