"""Token embeddings of texts by a model, on all devices of this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np

from uwe_jax.data.ragged import run_offsets
from uwe_jax.distributed import parallel
from uwe_jax.models.loaded import LoadedModel
from uwe_jax.ranking.encode import TextEncoder
from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.retrieval.limits import accepted
from uwe_jax.runtime.progress import progress
from uwe_jax.scoring.softmax import TINY

_CACHED = 2**30  # bytes of embeddings that are cached


class Embedder:
    """Encodes texts with a model.

    Attributes:
      seconds: spent on tokenising and encoding so far, compilation included.
    """

    def __init__(self, loaded: LoadedModel):
        self._loaded = loaded
        self._encoder = TextEncoder(loaded.model, loaded.texts_per_device)
        self._cache: dict[str, np.ndarray] = {}
        self._cached_bytes = 0
        self.seconds = 0.0

    @cached_property
    def _params(self) -> Any:
        return parallel.replicate(self._loaded.params)

    def __call__(self, texts: Sequence[str], label: str = "") -> RaggedTokens:
        """Returns raw token embeddings of texts, in their order; each distinct one is encoded once.

        Args:
          label: of a progress bar; without one there is no bar.
        """
        started = time.perf_counter()
        places: dict[str, int] = {}
        rows = np.fromiter((places.setdefault(text, len(places)) for text in texts), np.int64, len(texts))
        table = self._loaded.tokeniser.tokenise(places)
        bar: Callable = partial(progress, label=label, unit=" batches") if label else iter
        tokens = self._encoder(self._params, table, np.arange(len(table)), self._loaded.max_tokens, bar)
        self.seconds += time.perf_counter() - started
        return tokens if len(places) == len(texts) else tokens.take(rows)

    def sides(self, queries: str | Iterable[str], targets: str | Iterable[str]) -> tuple[RaggedTokens, RaggedTokens]:
        """Returns raw token embeddings of queries and of targets.

        Raises:
          UserError: a text is refused (`uwe_jax.retrieval.limits`), or cannot be scored.
        """
        sides = accepted(queries, "Query"), accepted(targets, "Target")
        tokens = self([*sides[0], *sides[1]])
        q, y = tokens.part(0, len(sides[0])), tokens.part(len(sides[0]), len(tokens))
        q.check_scorable("Query")
        y.check_scorable("Target")
        return q, y

    def unit_means(self, texts: Sequence[str]) -> np.ndarray:
        """Returns the mean of every text's tokens at length 1, float32 [n, d].

        Raises:
          UserError: a text cannot be scored.
        """
        tokens = self(texts)
        tokens.check_scorable("Text")
        means = tokens.pooled().flat
        return means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), TINY)

    def cached(self, texts: Sequence[str], *, keep: bool, label: str = "") -> RaggedTokens:
        """Returns the same; only texts that are not cached are encoded, and cached if `keep`, at most a gibibyte."""
        missing = [text for text in dict.fromkeys(texts) if text not in self._cache]
        encoded = self(missing, label)
        new = {text: encoded.part(k, k + 1).flat for k, text in enumerate(missing)}
        rows = [new[text] if text in new else self._cache[text] for text in texts]
        for text, each in new.items() if keep else ():
            self._cache[text] = each.copy()  # a view would keep its whole array in memory
            self._cached_bytes += each.nbytes
        while self._cached_bytes > _CACHED:  # those that were cached first are dropped
            self._cached_bytes -= self._cache.pop(next(iter(self._cache))).nbytes
        flat = np.concatenate([encoded.flat[:0], *rows])
        return RaggedTokens(flat, run_offsets(np.array([len(each) for each in rows], np.int64)))
