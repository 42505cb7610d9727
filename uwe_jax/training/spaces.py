"""Encoding lists of texts and scoring them against each other, on all devices of this process.

Texts are encoded in order of length and kept in groups of similar length, so short texts do not pay for long ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import jax
import numpy as np

from uwe_jax import parallel
from uwe_jax.data.tokens import TokenTable
from uwe_jax.models.uwe import Params, UweModel
from uwe_jax.scoring.chunking import pairwise_scores
from uwe_jax.scoring.scorers import Tokens

_LENGTHS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
_TOKENS_PER_DEVICE = 4096


@dataclass(frozen=True)
class Group:
    """Texts of similar length: positions [k] in their list and tokens split over devices, [devices, b, t, d]."""

    positions: np.ndarray
    tokens: Tokens


@dataclass(frozen=True)
class TextSpace:
    """n encoded texts."""

    groups: tuple[Group, ...]
    size: int


def _groups_of_rows(
    table: TokenTable, positions: np.ndarray, limit: int, most: int
) -> Iterator[tuple[np.ndarray, int, int]]:
    """Positions in order of length, cut into groups: (positions, padded length, rows to fill up to)."""
    lengths = np.minimum(table.lengths[positions], limit)
    order = np.argsort(lengths, kind="stable")
    rounded = np.array([next((n for n in _LENGTHS if n >= k), k) for k in lengths[order]], np.int64)
    rounded = np.minimum(rounded, limit)
    devices = jax.local_device_count()
    for length in np.unique(rounded):
        members = order[rounded == length]
        rows = devices * max(1, min(most, _TOKENS_PER_DEVICE // int(length)))
        for start in range(0, len(members), rows):
            yield positions[members[start : start + rows]], int(length), rows


class SpaceScorer:
    """Encodes and scores with one model; compiles once per pair of group shapes.

    Args:
      model: encoder and scorer.
      texts_per_device: texts encoded at once.
    """

    def __init__(self, model: UweModel, texts_per_device: int):
        self._most = texts_per_device
        self._encode: Callable = parallel.parallel(model.encode, devices=jax.local_devices())

        def score(params: Params, targets: Tokens, queries: Tokens) -> jax.Array:
            return pairwise_scores(queries, targets, model.tau_a(params), model.scorer).forward

        self._score: Callable = parallel.parallel(score, in_axes=(0, 0, None), devices=jax.local_devices())

    def encode(
        self, params: Params, table: TokenTable, positions: np.ndarray, limit: int, progress: Callable = iter
    ) -> TextSpace:
        """Encodes the texts at `positions` of a token table, cut to `limit` tokens.

        Args:
          params: replicated over devices.
          progress: wraps the iteration over groups, for a bar.

        Returns:
          A space whose text k is the one at positions[k].
        """
        at = np.full(len(table), -1, np.int64)
        at[positions] = np.arange(len(positions))
        groups = []
        for members, length, rows in progress(list(_groups_of_rows(table, positions, limit, self._most))):
            padded = np.full(rows, -1, np.int64)
            padded[: len(members)] = members
            token_ids, mask = parallel.shard_rows(table.rows(padded, length))
            groups.append(Group(at[members], self._encode(params, token_ids, mask)))
        return TextSpace(tuple(groups), len(positions))

    def scores(self, params: Params, queries: TextSpace, targets: TextSpace) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields (query positions [k], scores s(q, y) float32 [k, n]) until every query had its turn."""
        for group in queries.groups:
            # Padding texts are left out up to the next power of two, so that few shapes are compiled.
            rows = 1 << (len(group.positions) - 1).bit_length()
            tokens = jax.tree.map(
                lambda part, rows=rows: np.asarray(part).reshape(-1, *part.shape[2:])[:rows], group.tokens
            )
            matrix = np.empty((len(group.positions), targets.size), np.float32)
            for other in targets.groups:
                block = np.asarray(self._score(params, other.tokens, tokens))  # [devices, q, b]
                flat = block.transpose(1, 0, 2).reshape(block.shape[1], -1)
                matrix[:, other.positions] = flat[: len(group.positions), : len(other.positions)]
            yield group.positions, matrix
