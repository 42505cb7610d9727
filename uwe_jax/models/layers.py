"""What both architectures are built of: linear map, activation, norm and feed-forward block."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from uwe_jax.models.config import TANH_GELU, EncoderConfig

# Spread of fresh weights, as both architectures were first trained with.
INITIALISER = nn.initializers.normal(0.02)


class Linear(nn.Module):
    """x W + b, with all tokens of the block in one matrix product.

    Rows are flattened before the product: on a CPU the backward pass over [b, i] is a tenth slower.
    """

    features: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b i d"]) -> Float[Array, "b i f"]:
        kernel = self.param("kernel", INITIALISER, (x.shape[-1], self.features), jnp.float32)
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
        # The mean of squared deviations: E[x^2] - E[x]^2 loses the digits that parity needs.
        variance = jnp.square(centred).mean(axis=-1, keepdims=True)
        normed = centred * jax.lax.rsqrt(variance + self.config.layer_norm_eps)
        return (normed * scale[None, None, :] + bias[None, None, :]).astype(self.dtype)


@jax.custom_vjp
def exact_gelu(x: Float[Array, "*b"]) -> Float[Array, "*b"]:
    """x Phi(x) with Phi the normal distribution function, in float32 inside (Hendrycks and Gimpel 2016).

    `jax.nn.gelu` goes through erfc, which takes twice as long on a CPU; erf agrees with it to 1e-6. The
    backward pass keeps x alone, in the dtype it came in, and none of the float32 values between.
    """
    return (x * _normal_cdf(x)).astype(x.dtype)


def _normal_cdf(x: Array) -> Array:
    return 0.5 * (1.0 + jax.lax.erf(x.astype(jnp.float32) * math.sqrt(0.5)))


def _exact_gelu_forward(x: Array) -> tuple[Array, Array]:
    return exact_gelu(x), x


def _exact_gelu_backward(x: Array, grad: Array) -> tuple[Array]:
    wide = x.astype(jnp.float32)
    density = jnp.exp(-0.5 * jnp.square(wide)) * (1.0 / math.sqrt(2.0 * math.pi))
    return ((grad.astype(jnp.float32) * (_normal_cdf(x) + wide * density)).astype(x.dtype),)


exact_gelu.defvjp(_exact_gelu_forward, _exact_gelu_backward)


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
