"""Encoding of lists of texts on all devices of this process, in groups of similar length."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax
import numpy as np

from uwe_jax.data.ragged import run_entries, run_offsets
from uwe_jax.data.tokens import TokenTable
from uwe_jax.distributed import parallel
from uwe_jax.models.sentence_model import SentenceModel
from uwe_jax.models.uwe import Params, UweModel
from uwe_jax.ranking.ragged import RaggedTokens

_LENGTHS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
_TOKENS_PER_DEVICE = 4096
# Up to this many texts, a group is padded to the next power of two, for low latency. With more texts it is padded to
# all the rows of its length, so that one program per length is compiled.
_FEW = 64


def _groups(lengths: np.ndarray, limit: int, most: int) -> Iterator[tuple[np.ndarray, int, int]]:
    """Cuts texts into groups of similar length: (positions of texts, padded length, padded number of rows)."""
    few = len(lengths) <= _FEW
    order = np.argsort(lengths, kind="stable")
    rounded = np.array([next((n for n in _LENGTHS if n >= k), -(-k // 512) * 512) for k in lengths[order]], np.int64)
    rounded = np.minimum(rounded, limit)
    devices = jax.local_device_count()
    for length in np.unique(rounded).tolist():
        members = order[rounded == length]
        rows = devices * max(1, min(most, _TOKENS_PER_DEVICE // length))
        for start in range(0, len(members), rows):
            group = members[start : start + rows]
            needed = devices * (1 << (-(-len(group) // devices) - 1).bit_length())
            yield group, length, min(rows, needed) if few else rows


def _encode_program(model: UweModel) -> Callable:
    return parallel.on_own_devices(model.encode, (False, False, False))


class TextEncoder:
    """Encodes texts with one model, `texts_per_device` at once; compiles once per length."""

    def __init__(self, model: UweModel, texts_per_device: int):
        self._model, self._most = model, texts_per_device
        self._encode = parallel.program(_encode_program, model)

    def __call__(
        self, params: Params, table: TokenTable, indices: np.ndarray, limit: int, progress: Callable = iter
    ) -> RaggedTokens:
        """Encodes the texts at `indices` of a token table, truncated to `limit` tokens, in their order.

        Args:
          params: replicated over devices.
          progress: wraps the iteration over groups, for a bar.

        Returns:
          Embeddings in the encoder's compute dtype, in host memory; one vector per text of a `SentenceModel`.
        """
        lengths = np.minimum(table.lengths[indices], limit)
        kept = np.ones_like(lengths) if isinstance(self._model, SentenceModel) else lengths
        offsets = run_offsets(kept)
        flat: np.ndarray | None = None
        waiting: tuple[np.ndarray, jax.Array] | None = None

        def keep(members: np.ndarray, embeddings: jax.Array) -> None:
            nonlocal flat
            rows = np.asarray(embeddings)
            rows = rows.reshape(-1, *rows.shape[2:])[: len(members)]
            if flat is None:
                flat = np.empty((offsets[-1], rows.shape[2]), rows.dtype)
            real = np.arange(rows.shape[1])[None, :] < kept[members, None]
            flat[run_entries(offsets[members], kept[members])] = rows[real]

        for members, length, rows in progress(list(_groups(lengths, limit, self._most))):
            filled = np.full(rows, -1, np.int64)
            filled[: len(members)] = indices[members]
            token_ids, mask = parallel.shard_rows(table.rows(filled, length))
            embeddings = self._encode(params, token_ids, mask).embeddings
            # The devices work on this group while the previous one is copied.
            if waiting:
                keep(*waiting)
            waiting = members, embeddings
        if waiting:
            keep(*waiting)
        if flat is None:
            raise ValueError("There are no texts to encode.")
        return RaggedTokens(flat, offsets)
