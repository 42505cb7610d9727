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
from uwe_jax.models.uwe import UweModel
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
        models: Sequence[UweModel] = [side.model for side in loaded.sides] or [loaded.model] * 2
        self._encoders = [TextEncoder(model, loaded.texts_per_device) for model in models]
        self._cache: dict[tuple[bool, str], np.ndarray] = {}
        self._cached_bytes = 0
        self.seconds = 0.0

    @cached_property
    def _params(self) -> Any:
        return parallel.replicate(self._loaded.params)

    def __call__(self, texts: Sequence[str], label: str = "", *, targets: bool = False) -> RaggedTokens:
        """Returns raw token embeddings of texts, in their order; each distinct one is encoded once.

        Args:
          label: of a progress bar; without one there is no bar.
          targets: whether they are targets, which a model with `sides` encodes in another way than queries.
        """
        sides = self._loaded.sides
        started = time.perf_counter()
        places: dict[str, int] = {}
        rows = np.fromiter((places.setdefault(text, len(places)) for text in texts), np.int64, len(texts))
        table = self._loaded.tokeniser.tokenise(map(sides[targets].text, places) if sides else places)
        bar: Callable = partial(progress, label=label, unit=" batches") if label else iter
        tokens = self._encoders[targets](self._params, table, np.arange(len(table)), self._loaded.max_tokens, bar)
        self.seconds += time.perf_counter() - started
        return tokens if len(places) == len(texts) else tokens.take(rows)

    def sides(self, queries: str | Iterable[str], targets: str | Iterable[str]) -> tuple[RaggedTokens, RaggedTokens]:
        """Returns raw token embeddings of queries and of targets.

        Raises:
          UserError: a text is refused (`uwe_jax.retrieval.limits`), or cannot be scored.
        """
        sides = accepted(queries, "Query"), accepted(targets, "Target")
        if self._loaded.sides:
            q, y = self(sides[0]), self(sides[1], targets=True)
        else:  # in one go
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

    def cached(self, texts: Sequence[str], *, targets: bool, label: str = "") -> RaggedTokens:
        """Returns the same; only texts that are not cached are encoded, and targets are cached, at most a gibibyte."""
        sided = targets and bool(self._loaded.sides)  # otherwise the targets of one task are the queries of another
        missing = [text for text in dict.fromkeys(texts) if (sided, text) not in self._cache]
        encoded = self(missing, label, targets=targets)
        new = {text: encoded.part(k, k + 1).flat for k, text in enumerate(missing)}
        rows = [new[text] if text in new else self._cache[sided, text] for text in texts]
        for text, each in new.items() if targets else ():
            self._cache[sided, text] = each.copy()  # a view would keep its whole array in memory
            self._cached_bytes += each.nbytes
        while self._cached_bytes > _CACHED:  # those that were cached first are dropped
            self._cached_bytes -= self._cache.pop(next(iter(self._cache))).nbytes
        flat = np.concatenate([encoded.flat[:0], *rows])
        return RaggedTokens(flat, run_offsets(np.array([len(each) for each in rows], np.int64)))
