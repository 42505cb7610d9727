"""Ranking with an encoder and a scorer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from uwe_jax.data.ragged import run_offsets
from uwe_jax.data.tokens import Tokeniser
from uwe_jax.data.truncation import Truncation
from uwe_jax.distributed import parallel
from uwe_jax.evaluation.embedding_cache import EmbeddingCache
from uwe_jax.evaluation.ranker import Score
from uwe_jax.models.loaded import LoadedModel
from uwe_jax.models.uwe import Params, UweModel
from uwe_jax.ranking.encode import TextEncoder
from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.ranking.target_space import TargetSpace
from uwe_jax.retrieval.limits import check_positions
from uwe_jax.runtime.progress import progress

CACHE_BYTES = 2**30


class EncoderRanker:
    """Ranks by the scorer over token embeddings, on all devices of this process.

    Embeddings of targets are kept (see `EmbeddingCache`) and serve later target spaces and queries. Texts are tokenised
    anew each time: that takes less than a hundredth of the time of their encoding.

    Args:
      name: stands over the results.
      model: encoder and scorer.
      params: of the model, one copy of them.
      tokeniser: the encoder's own.
      max_tokens: longer texts lose their end; special tokens included.
      texts_per_device: encoded at once, fewer when they are long. A chunk of queries is filled up to whole such groups,
        so chunks of a thousand queries cost less than many small ones.
      description: where the model comes from.
      cache_bytes: of embeddings to keep.

    Attributes:
      encode_seconds: spent on tokenising and encoding so far, the compilation of the encoder included.

    Raises:
      UserError: `max_tokens` is more than the encoder has positions for, or leaves no room for a text.
    """

    def __init__(
        self,
        name: str,
        model: UweModel,
        params: Params,
        tokeniser: Tokeniser,
        *,
        max_tokens: int = 64,
        texts_per_device: int = 64,
        description: str = "",
        cache_bytes: int = CACHE_BYTES,
    ):
        check_positions(name, model, tokeniser, max_tokens)
        self.name = name
        self.description = description
        self.encode_seconds = 0.0
        self._model = model
        self._tau_a = float(model.tau_a(params))
        self._params = parallel.replicate(params)
        self._tokeniser = tokeniser
        self._max_tokens = max_tokens
        self._encode = TextEncoder(model, texts_per_device)
        self._cache = EmbeddingCache(cache_bytes)

    def index(self, targets: Sequence[str]) -> Score:
        """Encodes n targets and puts them on the devices; see `Ranker.index`.

        Raises:
          UserError: there are none.
        """

        def bar(groups: Sequence) -> Iterator:
            return progress(groups, label=f"{self.name}: encoding targets", unit="batch")

        space = TargetSpace.build(self._embed(targets, keep=True, bar=bar), self._model.scorer)

        def score(queries: Sequence[str]) -> np.ndarray:
            return space.scores(self._embed(queries, keep=False), self._tau_a)

        return score

    def truncation(self, texts: Sequence[str]) -> Truncation:
        """Counts the texts that have more tokens than `max_tokens`."""
        return self._tokeniser.truncation(texts, self._max_tokens)

    def _embed(self, texts: Sequence[str], *, keep: bool, bar: Callable = iter) -> RaggedTokens:
        """Token embeddings of texts, in their order; those that are not cached are encoded, each once."""
        started = time.perf_counter()
        distinct = dict.fromkeys(texts)
        found = {text: rows for text in distinct if (rows := self._cache.get(text)) is not None}
        missing = [text for text in distinct if text not in found]
        if missing:
            table = self._tokeniser.tokenise(missing)
            encoded = self._encode(self._params, table, np.arange(len(table)), self._max_tokens, bar)
            for text, start, stop in zip(missing, encoded.offsets, encoded.offsets[1:], strict=False):
                found[text] = encoded.flat[start:stop]
                if keep:
                    self._cache.add(text, found[text])
        pieces = [found[text] for text in texts]
        flat = np.concatenate(pieces) if pieces else np.zeros((0, self._model.encoder.config.width), np.float32)
        self.encode_seconds += time.perf_counter() - started
        return RaggedTokens(flat, run_offsets(np.array([len(piece) for piece in pieces], np.int64)))


def encoder_ranker(loaded: LoadedModel) -> EncoderRanker:
    """The model as evaluation ranks with it.

    Raises:
      UserError: `max_tokens` is more than the encoder has positions for, or leaves no room for a text.
    """
    return EncoderRanker(
        loaded.name,
        loaded.model,
        loaded.params,
        loaded.tokeniser,
        max_tokens=loaded.max_tokens,
        texts_per_device=loaded.texts_per_device,
        description=loaded.description,
    )
