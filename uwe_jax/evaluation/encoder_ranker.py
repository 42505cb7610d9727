"""Ranking with an encoder and a scorer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from uwe_jax.data.ragged import run_offsets
from uwe_jax.data.truncation import Truncation
from uwe_jax.distributed import parallel
from uwe_jax.evaluation.embedding_cache import EmbeddingCache
from uwe_jax.evaluation.ranker import Score
from uwe_jax.models.loaded import LoadedModel
from uwe_jax.ranking.encode import TextEncoder
from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.ranking.target_space import TargetSpace
from uwe_jax.retrieval.limits import check_max_tokens
from uwe_jax.runtime.progress import progress

CACHE_BYTES = 2**30


class EncoderRanker:
    """Ranks by the scorer over token embeddings, on all devices of this process.

    Embeddings of targets are kept (see `EmbeddingCache`) and serve later target spaces and queries. Texts are tokenised
    anew each time: that takes less than a hundredth of the time of their encoding.

    Args:
      loaded: the model. A chunk of queries is filled up to whole groups of its `texts_per_device` on each device, so
        chunks of a thousand queries cost less than many small ones.
      cache_bytes: of embeddings to keep.

    Attributes:
      encode_seconds: spent on tokenising and encoding so far, the compilation of the encoder included.

    Raises:
      UserError: the model's `max_tokens` is more than the encoder has positions for, or leaves no room for a text.
    """

    def __init__(self, loaded: LoadedModel, *, cache_bytes: int = CACHE_BYTES):
        check_max_tokens(loaded)
        self.name, self.description = loaded.name, loaded.description
        self.encode_seconds = 0.0
        self._loaded = loaded
        self._params = parallel.replicate(loaded.params)
        self._encode = TextEncoder(loaded.model, loaded.texts_per_device)
        self._cache = EmbeddingCache(cache_bytes)

    def index(self, targets: Sequence[str]) -> Score:
        """Encodes n targets and puts them on the devices; see `Ranker.index`.

        Raises:
          UserError: there are none.
        """

        def bar(groups: Sequence) -> Iterator:
            return progress(groups, label=f"{self.name}: encoding targets", unit="batch")

        space = TargetSpace.build(self._embed(targets, keep=True, bar=bar), self._loaded.model.scorer)

        def score(queries: Sequence[str]) -> np.ndarray:
            return space.scores(self._embed(queries, keep=False), self._loaded.tau_a)

        return score

    def truncation(self, texts: Sequence[str]) -> Truncation:
        """Counts the texts that have more tokens than `max_tokens`."""
        return self._loaded.truncation(texts)

    def _embed(self, texts: Sequence[str], *, keep: bool, bar: Callable = iter) -> RaggedTokens:
        """Token embeddings of texts, in their order; those that are not cached are encoded, each once."""
        started = time.perf_counter()
        distinct = dict.fromkeys(texts)
        found = {text: rows for text in distinct if (rows := self._cache.get(text)) is not None}
        missing = [text for text in distinct if text not in found]
        if missing:
            table = self._loaded.tokeniser.tokenise(missing)
            encoded = self._encode(self._params, table, np.arange(len(table)), self._loaded.max_tokens, bar)
            for text, start, stop in zip(missing, encoded.offsets, encoded.offsets[1:], strict=False):
                found[text] = encoded.flat[start:stop]
                if keep:
                    self._cache.add(text, found[text])
        pieces = [found[text] for text in texts]
        flat = np.concatenate(pieces) if pieces else np.zeros((0, self._loaded.model.encoder.config.width), np.float32)
        self.encode_seconds += time.perf_counter() - started
        return RaggedTokens(flat, run_offsets(np.array([len(piece) for piece in pieces], np.int64)))
