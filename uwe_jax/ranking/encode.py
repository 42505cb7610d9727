"""Encoding of lists of texts on all devices of this process, packed into rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from uwe_jax.data.packing import one_per_row, pack
from uwe_jax.data.ragged import run_entries, run_offsets
from uwe_jax.data.tokens import TokenTable
from uwe_jax.distributed import parallel
from uwe_jax.models.sentence_model import SentenceModel
from uwe_jax.models.uwe import Params, UweModel
from uwe_jax.ranking.ragged import RaggedTokens

_ROW_LENGTHS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384)  # and multiples of 512
# Of many texts. Shorter rows are harder to fill, and save little: attention takes 5 % of the time in rows of 64.
_SHORTEST_ROW = 64
_TOKENS_PER_DEVICE = 4096
# Token components per device on a CPU: with more, a program's temporaries exceed 32 MiB, which glibc's malloc returns
# to the system after every batch, and a fifth of the time goes into page faults.
_COMPONENTS_ON_CPU = 3 << 18
# Up to this many texts, rows are as long as the longest text, and padded to the next power of two in number, for low
# latency. Those of more texts are padded to a multiple of an eighth of the most, so that few programs are compiled.
_FEW = 64


def _batches(rows: list[int], most: Callable[[int], int], few: bool) -> Iterator[tuple[slice, int, int]]:
    """Cuts rows, those of one length after another, into batches: (places of tokens, padded number of rows, length).

    Batches of one length are about equally large, and `most` rows of it fit on a device.
    """
    devices, place = jax.local_device_count(), 0
    for length in dict.fromkeys(rows):
        count, limit = rows.count(length), most(length)
        of_device = -(-count // (devices * -(-count // (devices * limit))))
        unit = 1 << (of_device - 1).bit_length() if few else max(1, limit // 8)
        padded = devices * min(limit, -(-of_device // unit) * unit)
        for start in range(0, count, padded):
            end = place + min(padded, count - start) * length
            yield slice(place, end), padded, length
            place = end


def _encode_program(model: UweModel) -> Callable:
    return parallel.on_own_devices(model.encode, (False, False, False))


class TextEncoder:
    """Encodes texts with one model, at most `rows_per_device` rows of them at once.

    If it is `shared`, each process encodes a part and gets the rest from the others: all must encode the same texts.
    """

    def __init__(self, model: UweModel, rows_per_device: int, *, shared: bool = False):
        self._encoder, self._most, self._shared = model.encoder, rows_per_device, shared
        # A model of one vector per text takes one text per row.
        self._single = isinstance(model, SentenceModel)
        self._width: int = model.width if isinstance(model, SentenceModel) else model.encoder.config.width
        self._dtype: Any = np.float32 if self._single else model.encoder.dtype
        self._encode = parallel.program(_encode_program, model)

    def __call__(
        self, params: Params, table: TokenTable, indices: np.ndarray, limit: int, progress: Callable = iter
    ) -> RaggedTokens:
        """Encodes the texts at `indices` of a token table, truncated to `limit` tokens, in their order.

        Args:
          params: replicated over devices.
          progress: wraps the iteration over batches, for a bar.

        Returns:
          Embeddings in the encoder's compute dtype, in host memory; one vector per text of a `SentenceModel`.
        """
        spans, few, single = table.spans(indices, limit), len(indices) <= _FEW, self._single
        row_lengths = self._row_lengths(int(spans.lengths.max(initial=1)), few)
        rows, starts = (one_per_row if single else pack)(spans.lengths, *row_lengths)
        offsets = run_offsets(np.ones_like(spans.lengths) if single else spans.lengths)
        places = run_entries(starts, spans.lengths)
        token_ids = np.full(sum(rows), table.special.pad, np.int32)
        segments = np.zeros(len(token_ids), np.int32)
        token_ids[places] = table.tokens(spans)
        segments[places] = np.repeat(np.arange(1, len(indices) + 1), spans.lengths)
        found = starts if single else places  # of what the model gives, by the places of tokens
        order = np.full(len(token_ids), -1)  # positions in `flat`
        order[found] = np.arange(len(found))
        flat = np.empty((len(found), self._width), self._dtype)
        waiting: tuple[np.ndarray, jax.Array] | None = None

        def keep(own: np.ndarray, embeddings: jax.Array) -> None:
            real = own >= 0
            flat[own[real]] = np.asarray(embeddings).reshape(-1, flat.shape[1])[: len(own)][real]

        batches = list(_batches(rows, self._at_once, few))
        index, count = (jax.process_index(), jax.process_count()) if self._shared else (0, 1)
        for part, padded, length in progress(batches[index::count]):
            missing = 0, padded * length - (part.stop - part.start)
            batch = (
                np.pad(token_ids[part], missing, constant_values=table.special.pad),
                np.pad(segments[part], missing),
            )
            embeddings = self._encode(params, *parallel.shard_rows([each.reshape(-1, length) for each in batch]))
            # The devices work on this batch while the previous one is copied.
            if waiting:
                keep(*waiting)
            waiting = order[part][:: length if single else 1], embeddings.embeddings
        if waiting:
            keep(*waiting)
        if count > 1:
            sizes = [part.stop - part.start for part, *_ in batches]
            parallel.fill_from_processes(flat, np.repeat(np.arange(len(batches)) % count, sizes)[found])
        return RaggedTokens(flat, offsets)

    def _row_lengths(self, longest: int, few: bool) -> list[int]:
        """Returns the lengths that rows may have, ascending: of few texts, one that holds the longest."""
        most = max(longest, self._encoder.config.max_tokens)
        lengths = [min(length, most) for length in (*_ROW_LENGTHS, *range(512, longest + 512, 512))]
        if few:
            return [next(length for length in lengths if length >= longest)]
        return lengths if self._single else lengths[_ROW_LENGTHS.index(_SHORTEST_ROW) :]

    def _at_once(self, length: int) -> int:
        """Returns how many rows of a length a device encodes at once."""
        tokens = _TOKENS_PER_DEVICE
        if jax.default_backend() == "cpu":
            tokens = min(tokens, _COMPONENTS_ON_CPU // self._encoder.config.width)
        return max(1, min(self._most, tokens // length))
