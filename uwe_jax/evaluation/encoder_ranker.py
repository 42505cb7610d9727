"""Ranks with an encoder and a scorer."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from uwe_jax.data.ragged import run_offsets
from uwe_jax.data.truncation import Truncation
from uwe_jax.distributed import parallel
from uwe_jax.evaluation.ranker import Score
from uwe_jax.models.loaded import LoadedModel
from uwe_jax.ranking.encode import TextEncoder
from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.ranking.target_space import TargetSpace
from uwe_jax.retrieval.limits import check_max_tokens
from uwe_jax.runtime.progress import progress


class EmbeddingCache:
    """Least-recently-used cache of token embeddings [t, d] by text, of at most so many bytes.

    It holds single texts rather than target spaces: two ESCO versions share all but a few labels, and the queries of
    one task are the targets of another.
    """

    def __init__(self, most_bytes: int):
        self._most_bytes = most_bytes
        self._bytes = 0
        self._rows: OrderedDict[str, np.ndarray] = OrderedDict()

    def get(self, text: str) -> np.ndarray | None:
        """Returns the embeddings of a text, if they are cached."""
        if text in self._rows:
            self._rows.move_to_end(text)
        return self._rows.get(text)

    def add(self, text: str, rows: np.ndarray) -> None:
        """Caches the embeddings of a text that is not cached yet."""
        self._rows[text] = rows.copy()  # a view would keep its whole array in memory
        self._bytes += rows.nbytes
        while self._bytes > self._most_bytes:
            self._bytes -= self._rows.popitem(last=False)[1].nbytes


class EncoderRanker:
    """Ranks by the scorer over token embeddings, on all devices of this process.

    Embeddings of targets are cached for later target spaces and queries. Tokens are not: tokenising takes less than a
    hundredth of the time of encoding.

    Args:
      loaded: the model. A chunk of queries is padded to whole groups of its `texts_per_device` on each device, so
        chunks of a thousand queries cost less than many small ones.
      cache_bytes: of embeddings to cache.

    Attributes:
      encode_seconds: spent on tokenising and encoding so far, the compilation of the encoder included.

    Raises:
      UserError: the model's `max_tokens` exceeds the encoder's positions, or leaves no room for a text.
    """

    def __init__(self, loaded: LoadedModel, *, cache_bytes: int = 2**30):
        check_max_tokens(loaded)
        self.name, self.description = loaded.name, loaded.description
        self.encode_seconds = 0.0
        # Counts the texts that have more tokens than `max_tokens`.
        self.truncation: Callable[[Sequence[str]], Truncation] = loaded.truncation
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
        return lambda queries: space.scores(self._embed(queries, keep=False), self._loaded.scorer.temperatures)

    def _embed(self, texts: Sequence[str], *, keep: bool, bar: Callable = iter) -> RaggedTokens:
        """Returns token embeddings of texts, in their order; each distinct text that is not cached is encoded once."""
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
        rows_of = [found[text] for text in texts]
        flat = (
            np.concatenate(rows_of) if rows_of else np.zeros((0, self._loaded.model.encoder.config.width), np.float32)
        )
        self.encode_seconds += time.perf_counter() - started
        return RaggedTokens(flat, run_offsets(np.array([len(rows) for rows in rows_of], np.int64)))
