"""The text encoder: BERT and MPNet in one code path, from token ids to raw token embeddings."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from uwe_jax.models.attention import RelativeBias, SelfAttention
from uwe_jax.models.config import EncoderConfig
from uwe_jax.models.layers import INITIALISER, FeedForward, Norm
from uwe_jax.runtime.errors import UserError


def positions(token_ids: Int[Array, "b i"], config: EncoderConfig) -> Int[Array, "#b i"]:
    """Rows of the position embedding that the tokens use.

    BERT counts columns from 0. MPNet counts the tokens that are not padding, from `pad_token_id + 1`, and
    gives padding the row `pad_token_id`.
    """
    if config.architecture == "bert":
        return jnp.arange(token_ids.shape[1])[None, :]
    real = (token_ids != config.pad_token_id).astype(jnp.int32)
    return jnp.cumsum(real, axis=1) * real + config.pad_token_id


class Embeddings(nn.Module):
    """Norm(word + position (+ token type 0)), with dropout; tables and sum in float32."""

    config: EncoderConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, token_ids: Int[Array, "b i"], deterministic: bool) -> Float[Array, "b i d"]:
        config = self.config

        def table(name: str, rows: int) -> nn.Embed:
            return nn.Embed(rows, config.width, embedding_init=INITIALISER, name=name)

        x = table("word", config.vocab_size)(token_ids)
        x = x + table("position", config.max_positions)(positions(token_ids, config))
        if config.token_types:
            x = x + table("token_type", config.token_types)(jnp.zeros((1, 1), jnp.int32))
        x = Norm(config, self.dtype, name="norm")(x)
        return nn.Dropout(config.hidden_dropout)(x, deterministic)


class Layer(nn.Module):
    """One transformer layer: self-attention, then the feed-forward block, each with a norm after its sum."""

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
        x = SelfAttention(self.config, self.dtype, name="attention")(x, mask, bias, deterministic)
        return FeedForward(self.config, self.dtype, name="feed_forward")(x, deterministic)


class Encoder(nn.Module):
    """Token embeddings of texts: the last hidden states of BERT or MPNet, without a pooler.

    Attributes:
      config: architecture and sizes.
      dtype: of activations and matrix products, float32 or bfloat16. Parameters, the embeddings' sum, norms
        and the attention's softmax are float32 always. On accelerators JAX may multiply float32 with fewer
        bits; `jax.default_matmul_precision("float32")` prevents it.
      remat: recompute every layer's activations in the backward pass. Same values; memory of about one layer.
      dropout: None takes the two rates of the config, a number replaces both, 0.0 turns dropout off.
    """

    config: EncoderConfig
    dtype: Any = jnp.float32
    remat: bool = False
    dropout: float | None = None

    @nn.compact
    def __call__(
        self, token_ids: Int[Array, "b i"], mask: Bool[Array, "b i"], *, deterministic: bool = True
    ) -> Float[Array, "b i d"]:
        """Encodes a block of padded texts.

        Args:
          token_ids: special tokens included, padding anywhere `mask` is False.
          mask: True for real tokens. A row without any gives finite values that mean nothing.
          deterministic: False applies dropout, under the random stream "dropout".

        Returns:
          Last hidden states in the compute dtype; those of masked tokens mean nothing.

        Raises:
          UserError: the block is longer than the encoder's positions reach.
        """
        config = self.config
        tokens = token_ids.shape[1]
        if tokens > config.max_tokens:
            raise UserError(
                f"The texts are padded to {tokens} tokens, but this {config.architecture} encoder reaches "
                f"{config.max_tokens}. Lower the token length to at most that."
            )
        if self.dropout is not None:
            config = dataclasses.replace(config, hidden_dropout=self.dropout, attention_dropout=self.dropout)
        x = Embeddings(config, self.dtype, name="embeddings")(token_ids, deterministic)
        bias = None
        if config.relative_buckets:
            bias = RelativeBias(config, name="relative_bias")(tokens)
        # Arguments are counted from `self`: the fourth is `deterministic`, a Python bool.
        layer = nn.remat(Layer, static_argnums=(4,)) if self.remat else Layer
        for index in range(config.layers):
            x = layer(config, self.dtype, name=f"layer_{index}")(x, mask, bias, deterministic)
        return x
