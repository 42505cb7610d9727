"""The bi-encoder with its scorer: what is trained, evaluated, cached and exported as one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from uwe_jax.config import EncoderSettings, ScorerSettings
from uwe_jax.models.config import EncoderConfig
from uwe_jax.models.encoder import Encoder
from uwe_jax.scoring.tokens import Tokens

Params = dict[str, Any]


@dataclass(frozen=True)
class UweModel:
    """Pure functions over parameters {encoder: ..., scorer: ...}."""

    encoder: Encoder
    scorer: ScorerSettings

    @classmethod
    def create(cls, config: EncoderConfig, encoder: EncoderSettings, scorer: ScorerSettings) -> UweModel:
        """The model of an encoder architecture under a run's settings."""
        module = Encoder(config, dtype=jnp.dtype(encoder.dtype), remat=encoder.remat, dropout=encoder.dropout)
        return cls(module, scorer)

    def initial_params(self, encoder_params: Params) -> Params:
        """Parameters to start training from: a pretrained encoder's, and the scorer's own where it learns any."""
        learned = self.scorer.learn_tau_a and self.scorer.kind in ("soft", "soft_pooled")
        # Its logarithm is learned, which keeps tau_a positive.
        scorer = {"log_tau_a": jnp.asarray(math.log(self.scorer.tau_a), jnp.float32)} if learned else {}
        return {"encoder": encoder_params, "scorer": scorer}

    def tau_a(self, params: Params) -> Float[Array, ""] | float:
        """The attention temperature: learned, or the setting, which the scorers may compile in."""
        learned = params["scorer"].get("log_tau_a")
        return self.scorer.tau_a if learned is None else jnp.exp(learned)

    def encode(
        self,
        params: Params,
        token_ids: Int[Array, "b t"],
        mask: Bool[Array, "b t"],
        dropout_key: Array | None = None,
    ) -> Tokens:
        """Raw token embeddings [b, t, d] in the compute dtype; with a key, under dropout."""
        embeddings: Any = self.encoder.apply(
            {"params": params["encoder"]},
            token_ids,
            mask,
            deterministic=dropout_key is None,
            rngs=None if dropout_key is None else {"dropout": dropout_key},
        )
        return Tokens(embeddings, mask)
