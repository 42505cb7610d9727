"""A model in host memory, from any source."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from uwe_jax.config import ScorerSettings
from uwe_jax.data.tokens import Tokeniser
from uwe_jax.data.truncation import Truncation
from uwe_jax.models.sentence_model import Side
from uwe_jax.models.sentence_modules import modules_digest, not_applied
from uwe_jax.models.uwe import Params, UweModel
from uwe_jax.models.weights import params_to_hf

MAX_TOKENS = 64  # of a text by default, as in the paper


@dataclass(frozen=True)
class LoadedModel:
    """Encoder and scorer with their parameters.

    Attributes:
      name: short, for tables.
      description: source and scorer, in one line.
      params: one copy, as NumPy arrays.
      folder: of the tokeniser's files and the encoder's config.json.
      cache_dir: of token tables and encoders from wheels.
      max_tokens: longer texts are truncated; counts special tokens.
      texts_per_device: rows of packed texts encoded at once.
      training: record of its training, for a model card; empty for an encoder as published. Keys: config, fingerprints,
        encoder, step, results (see `uwe_jax.models.run_folder`).
      stored_fingerprint: of an export; otherwise the fingerprint is computed when needed.
      sides: of a model as sentence-transformers applies it, what is done with queries and with targets; texts are then
        one vector each. `model` is that of queries.
      trained_in: the run or export that it was loaded from, which has its training hashes; None for an encoder as
        published.
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
    sides: tuple[Side, ...] = ()
    trained_in: Path | None = None

    @cached_property
    def tokeniser(self) -> Tokeniser:
        """The encoder's tokeniser; a UserError if it is damaged or has ids without an embedding."""
        return Tokeniser(self.folder, self.cache_dir / "tokens", self.model.encoder.config.vocab_size)

    def truncation(self, texts: Iterable[str]) -> Truncation:
        """Counts the (normalised) texts that have more than `max_tokens` tokens, the longest prompt included."""
        if self.sides:
            texts = map(max(self.sides, key=lambda side: len(side.prompt)).text, texts)
        return self.tokeniser.truncation(texts, self.max_tokens)

    @property
    def scorer(self) -> ScorerSettings:
        """Scorer settings with the learned temperatures, if any."""
        return self.model.learned_scorer(self.params)

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that identify the token embeddings.

        They depend on the encoder's architecture, parameters and tokeniser, but not on a scorer over tokens; for an
        encoder as published also on the declared pooling, layers and prompts, and on whether and how they are applied.
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
        for side in self.sides:
            digest.update(side.identity.encode())
        return digest.hexdigest()[:16]
