"""Encoders as sentence-transformers applies them: prompts, pooling and dense layers, one vector per text."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from uwe_jax.models.encoder import Segments
from uwe_jax.models.uwe import Params, UweModel
from uwe_jax.scoring.softmax import MASKED, TINY
from uwe_jax.scoring.tokens import Tokens

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "Identity": lambda x: x,
    "Tanh": jnp.tanh,
    "ReLU": jax.nn.relu,
    "Sigmoid": jax.nn.sigmoid,
    "GELU": lambda x: jax.nn.gelu(x, approximate=False),
}
_EXACT = jax.lax.Precision.HIGHEST


class Dense(NamedTuple):
    """activation(x W + b), plus x or x R with a residual; parameters under `params["sentence"][name]`."""

    name: str
    activation: str
    residual: bool


@dataclass(frozen=True)
class SentenceModel(UweModel):
    """A model whose texts are one vector each, in place of their tokens.

    Attributes:
      pooling: modes, whose results are joined; see `pooled`.
      steps: what follows; None scales to length 1.
      width: of the vectors.
    """

    pooling: tuple[str, ...] = ("mean",)
    steps: tuple[Dense | None, ...] = ()
    width: int = 0

    def encode(
        self, params: Params, token_ids: Int[Array, "b i"], segments: Segments, dropout_key: Array | None = None
    ) -> Tokens:
        """Vectors [b, 1, width], float32, of rows of one text."""
        tokens = super().encode(params, token_ids, segments, dropout_key)
        x = jnp.concatenate([pooled(mode, tokens.embeddings, tokens.mask) for mode in self.pooling], axis=-1)
        for step in self.steps:
            if step is None:
                x = x * jax.lax.rsqrt(jnp.maximum(jnp.sum(jnp.square(x), axis=-1, keepdims=True), TINY))
                continue
            weights, entered = params["sentence"][step.name], x
            x = jnp.einsum("bd,df->bf", x, weights["kernel"], precision=_EXACT)
            x = ACTIVATIONS[step.activation](x + weights["bias"][None, :] if "bias" in weights else x)
            if "residual" in weights:
                entered = jnp.einsum("bd,df->bf", entered, weights["residual"], precision=_EXACT)
            x = x + entered if step.residual else x
        return Tokens(x[:, None, :], tokens.mask.any(axis=1, keepdims=True))


def pooled(mode: str, x: Float[Array, "b t d"], mask: Bool[Array, "b t"]) -> Float[Array, "b d"]:
    """One vector of the tokens of each text, in float32: the largest of each component, or a weighted sum.

    Weights are 1/n for `mean` over n tokens, 1/sqrt(n) for `mean_sqrt_len`, in proportion to the position from 1 for
    `weightedmean`, and 1 on the first token for `cls` or on the last for `lasttoken`.
    """
    wide = x.astype(jnp.float32)
    if mode == "max":
        return jnp.where(mask[:, :, None], wide, MASKED).max(axis=1)
    real = mask.astype(jnp.float32)
    count, position = jnp.maximum(real.sum(axis=1, keepdims=True), 1.0), jnp.cumsum(real, axis=1) * real
    weights = {
        "mean": real / count,
        "mean_sqrt_len": real * jax.lax.rsqrt(count),
        "weightedmean": position / jnp.maximum(position.sum(axis=1, keepdims=True), 1.0),
        "cls": (position == 1).astype(jnp.float32),
        "lasttoken": (position == count).astype(jnp.float32),
    }[mode]
    return jnp.einsum("btd,bt->bd", wide, weights, precision=_EXACT)


class Side(NamedTuple):
    """Steps that turn queries, or targets, into vectors."""

    model: SentenceModel
    prompt: str = ""  # before every text
    lowercase: bool = False

    def text(self, text: str) -> str:
        """The text as it is tokenised; sentence-transformers changes the prompt to lower case with it."""
        whole = self.prompt + text
        return whole.lower() if self.lowercase else whole

    @property
    def identity(self) -> str:
        """All that makes its vectors differ from those of another side of the same folder."""
        return repr((self.prompt, self.lowercase, *dataclasses.astuple(self.model)[2:]))
