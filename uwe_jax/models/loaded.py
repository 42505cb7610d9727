"""A model in host memory: what every use of it starts from, wherever it was read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from uwe_jax.config import ScorerSettings
from uwe_jax.data.tokens import Tokeniser
from uwe_jax.data.truncation import Truncation
from uwe_jax.models.sentence_modules import modules_digest, not_applied
from uwe_jax.models.uwe import Params, UweModel
from uwe_jax.models.weights import params_to_hf

MAX_TOKENS = 64  # of a text, where nothing else is said: the paper's


@dataclass(frozen=True)
class LoadedModel:
    """Encoder and scorer with their parameters.

    Attributes:
      name: short, for tables.
      description: where it comes from and how it scores, one line.
      model: encoder and scorer.
      params: of the model, one copy, as NumPy arrays.
      folder: holds the tokeniser's files and the encoder's config.json.
      cache_dir: of token tables and encoders from wheels.
      max_tokens: longer texts lose their end; special tokens included.
      texts_per_device: encoded at once.
      training: what is known of its training, for a model card; empty for an encoder as published. Keys: config,
        fingerprints, encoder, step, results (see `uwe_jax.models.run_folder`).
      stored_fingerprint: of a model that was written with it; else it is computed when it is asked for.
    """

    name: str
    description: str
    model: UweModel
    params: Params
    folder: Path
    cache_dir: Path
    max_tokens: int = MAX_TOKENS
    texts_per_device: int = 64
    training: dict[str, Any] = field(default_factory=dict)
    stored_fingerprint: str = ""

    @cached_property
    def tokeniser(self) -> Tokeniser:
        """The encoder's own; a UserError where it is damaged or has ids that the encoder has no embedding for."""
        return Tokeniser(self.folder, self.cache_dir / "tokens", self.model.encoder.config.vocab_size)

    def truncation(self, texts: Iterable[str]) -> Truncation:
        """Counts the texts that have more tokens than `max_tokens`; texts as they are encoded, that is normalised."""
        return self.tokeniser.truncation(texts, self.max_tokens)

    @property
    def tau_a(self) -> float:
        """The attention temperature, learned or set."""
        return float(self.model.tau_a(self.params))

    @property
    def scorer(self) -> ScorerSettings:
        """The scorer as it is trained now: tau_a is the learned one where it was learned."""
        return replace(self.model.scorer, tau_a=self.tau_a, learn_tau_a=False)

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change with whatever token embeddings depend on.

        That is the encoder's architecture, its parameters and its tokeniser, but not the scorer, which reads them; for
        an encoder as published, also the pooling, layers and prompts that it declares and that are not applied: what is
        encoded without them must not be taken for the work of the model that applies them.
        """
        if self.stored_fingerprint:
            return self.stored_fingerprint
        config = self.model.encoder.config
        digest = hashlib.sha256(json.dumps(config.to_hf(), sort_keys=True).encode())
        for name, tensor in sorted(params_to_hf(self.params["encoder"], config).items()):
            digest.update(name.encode())
            digest.update(tensor.data)
        digest.update(self.tokeniser.digest.encode())
        if not self.training and not_applied(self.folder):
            digest.update(modules_digest(self.folder).encode())
        return digest.hexdigest()[:16]
