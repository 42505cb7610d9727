"""Token embeddings of lists of texts by one model, on all devices of this process."""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from uwe_jax.distributed import parallel
from uwe_jax.models.loaded import LoadedModel
from uwe_jax.ranking.encode import TextEncoder
from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.runtime.progress import progress


class Embedder:
    """Encodes texts with a model that is put on the devices once.

    Args:
      loaded: the model.
    """

    def __init__(self, loaded: LoadedModel):
        self._loaded = loaded
        self._encoder = TextEncoder(loaded.model, loaded.texts_per_device)

    @cached_property
    def _params(self) -> Any:
        return parallel.replicate(self._loaded.params)

    def __call__(self, texts: list[str], label: str = "") -> RaggedTokens:
        """Raw token embeddings of accepted texts, in their order; each distinct one is encoded once.

        Args:
          texts: n of them, as of `uwe_jax.retrieval.limits.accepted`.
          label: of a progress bar; without one there is no bar.
        """
        model = self._loaded.model
        if not texts:
            return RaggedTokens(np.zeros((0, model.encoder.config.width), model.encoder.dtype), np.zeros(1, np.int64))
        places: dict[str, int] = {}
        rows = np.fromiter((places.setdefault(text, len(places)) for text in texts), np.int64, len(texts))
        table = self._loaded.tokeniser.tokenise(places)
        bar: Callable = functools.partial(progress, label=label, unit=" batches") if label else iter
        tokens = self._encoder(self._params, table, np.arange(len(table)), self._loaded.max_tokens, bar)
        return tokens if len(places) == len(texts) else tokens.take(rows)
