"""The bi-encoder with its scorer, and weighted sums of parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from uwe_jax.config import EncoderSettings, ScorerSettings
from uwe_jax.models.config import EncoderConfig
from uwe_jax.models.encoder import Encoder, Segments
from uwe_jax.scoring.scorer_text import is_read
from uwe_jax.scoring.scorers import Temperature
from uwe_jax.scoring.tokens import Tokens

Params = dict[str, Any]
# Parameters of the scorer, logarithms that keep the temperatures positive: of query tokens and of target tokens.
LEARNED = ("log_tau_a", "log_target_tau_a")


@dataclass(frozen=True)
class UweModel:
    """Pure functions over parameters {encoder: ..., scorer: ...}."""

    encoder: Encoder
    scorer: ScorerSettings

    @classmethod
    def create(cls, config: EncoderConfig, encoder: EncoderSettings, scorer: ScorerSettings) -> UweModel:
        module = Encoder(config, dtype=jnp.dtype(encoder.dtype), remat=encoder.remat, dropout=encoder.dropout)
        return cls(module, scorer)

    def initial_params(self, encoder_params: Params) -> Params:
        """Initial parameters: the pretrained encoder's, and the scorer's if it learns its temperatures."""
        scorer = {}
        for name, setting in zip(LEARNED, self.scorer.temperatures, strict=True):
            if self.scorer.learn_tau_a and is_read(name.removeprefix("log_"), self.scorer):
                scorer[name] = jnp.asarray(math.log(setting), jnp.float32)
        return {"encoder": encoder_params, "scorer": scorer}

    def temperatures(self, params: Params) -> tuple[Temperature, Temperature]:
        """Attention temperatures of query and target tokens: learned, or Python floats that scorers may compile in."""
        query, target = (
            setting if (learned := params["scorer"].get(name)) is None else jnp.exp(learned)
            for name, setting in zip(LEARNED, self.scorer.temperatures, strict=True)
        )
        return query, target

    def learned_scorer(self, params: Params) -> ScorerSettings:
        """Scorer settings with the learned temperatures, if any, as numbers."""
        tau_a, target_tau_a = map(float, self.temperatures(params))
        return replace(self.scorer, tau_a=tau_a, target_tau_a=target_tau_a, learn_tau_a=False)

    def encode(
        self, params: Params, token_ids: Int[Array, "b i"], segments: Segments, dropout_key: Array | None = None
    ) -> Tokens:
        """Raw token embeddings [b, i, d] in the compute dtype, with dropout if a key is given; see `Encoder`."""
        embeddings: Any = self.encoder.apply(
            {"params": params["encoder"]},
            token_ids,
            segments,
            deterministic=dropout_key is None,
            rngs=None if dropout_key is None else {"dropout": dropout_key},
        )
        return Tokens(embeddings, segments != 0)


def blend(trained: Params, pretrained: Params, alpha: float) -> Params:
    """Interpolates between the pretrained encoder and the trained one in weight space.

    theta = (1 - alpha) theta_pretrained + alpha theta_trained for every parameter of the encoder (WiSE-FT: Wortsman et
    al., "Robust fine-tuning of zero-shot models", CVPR 2022). The scorer's parameters are not changed.

    >>> trained = {"encoder": {"w": 4.0}, "scorer": {"log_tau_a": -1.0}}
    >>> blend(trained, {"w": 0.0}, 0.75)
    {'encoder': {'w': 3.0}, 'scorer': {'log_tau_a': -1.0}}
    """
    if alpha == 1:
        return trained
    return {**trained, "encoder": weighted_sum([trained["encoder"], pretrained], [alpha, 1 - alpha])}


def weighted_sum(trees: Sequence[Any], weights: Sequence[float]) -> Any:
    """sum_k w_k theta_k of trees of one structure."""
    return jax.tree.map(
        lambda *leaves: sum(weight * leaf for weight, leaf in zip(weights, leaves, strict=True)), *trees
    )
