"""Layout of target spaces on devices: blocks of texts of one length, in spans that one program scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import numpy as np

from uwe_jax.distributed import parallel
from uwe_jax.ranking.ragged import MOST, RaggedTokens, not_scorable
from uwe_jax.runtime.errors import UserError
from uwe_jax.scoring.ragged import TokenBlock
from uwe_jax.scoring.tokens import unit_tokens

# Tokens of a block of targets. On a CPU the products with a short query stay in a core's cache: for 8 query tokens
# blocks of 8,192 take a fifth to a third less time than those of 32,768. An accelerator would wait for more launches.
_BLOCK_TOKENS = {"cpu": 8192}
_ACCELERATOR_BLOCK_TOKENS = 32768
# Texts of up to _EXACT tokens are not padded if those of their length have at least _SMALL_BLOCK_TOKENS in total.
_EXACT = 16
_SMALL_BLOCK_TOKENS = 1024
# Targets and blocks per program: bounds of its score matrix and compile time.
_SPAN_TARGETS = 65536
_SPAN_BLOCKS = 64
_FEW_BLOCK_TOKENS = 2048  # with few shapes: tokens of every block


class Span(NamedTuple):
    """Blocks scored by one program; the leading axis is devices.

    `positions` [devices, n] of the targets are -1 for padding, `order` [devices, n] sorts them, and `counted`
    [devices, n] is true for ranked targets: neither padding nor excluded by a filter.
    """

    blocks: tuple[TokenBlock, ...]
    positions: jax.Array
    order: jax.Array
    counted: jax.Array


def bucket(tokens: int, per_octave: int = 4) -> int:
    """Packed length that this many tokens are padded to: steps of 4, then so many lengths per octave.

    >>> bucket(83), bucket(83, 8)
    (96, 88)
    """
    step = max(4, (1 << max(0, (tokens - 1).bit_length() - 1)) // per_octave)
    return max(4, -(-tokens // step) * step)


def _unit_program(dtype: str) -> Callable:
    return parallel.on_own_devices(lambda tokens: unit_tokens(tokens, dtype), (False,))


def padded_lengths(lengths: np.ndarray, *, few_shapes: bool = False) -> np.ndarray:
    """Length that every text is stored with, int64 [n].

    Short texts are not padded and longer ones are padded to four lengths per octave; with few shapes, all to powers of
    two. Lengths with few tokens are stored as the next longer one, since a block of their own would cost more than the
    padding.
    """
    if few_shapes:
        stored = np.array([max(8, 1 << (k - 1).bit_length()) for k in lengths.tolist()])
    else:
        stored = np.where(lengths <= _EXACT, np.maximum(lengths, 1), [bucket(k) for k in lengths.tolist()])
    for length in np.unique(stored).tolist()[:-1]:
        same = stored == length
        if same.sum() * length < _SMALL_BLOCK_TOKENS:
            stored[same] = stored[stored > length].min()
    return stored


def _members(stored: np.ndarray, few_shapes: bool) -> Iterator[tuple[int, np.ndarray]]:
    """Cuts texts into blocks: (stored length, positions [devices, b], padded with -1)."""
    devices = jax.local_device_count()
    most = _BLOCK_TOKENS.get(jax.default_backend(), _ACCELERATOR_BLOCK_TOKENS)
    for length in np.unique(stored).tolist():
        same = np.flatnonzero(stored == length)
        whole = devices * max(1, (_FEW_BLOCK_TOKENS if few_shapes else most) // length)
        blocks = -(-len(same) // whole)
        # Equal shapes with little padding: a smaller last block would cost as much as a full one.
        each = whole if few_shapes else -(-len(same) // (blocks * devices)) * devices
        filled = np.full((blocks, each), -1, np.int32)
        filled.ravel()[: len(same)] = same
        for members in filled:
            yield length, members.reshape(devices, -1)


def _units(rows: np.ndarray, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors [devices, r, d] and norms [devices, r] of raw vectors [devices, r, d], in host memory.

    Rows are padded to powers of two, since every number of rows needs a program of its own.
    """
    filled = np.zeros((rows.shape[0], 1 << max(0, rows.shape[1] - 1).bit_length(), rows.shape[2]), rows.dtype)
    filled[:, : rows.shape[1]] = rows
    unit, norms = parallel.program(_unit_program, dtype)(filled)
    return np.asarray(unit)[:, : rows.shape[1]], np.asarray(norms)[:, : rows.shape[1]]


def _block(tokens: RaggedTokens, length: int, members: np.ndarray, dtype: str, masked: bool) -> TokenBlock:
    """Puts the texts `members` [devices, b] on their devices, with a mask if needed or `masked`."""
    rows, mask = tokens.padded(members.ravel(), length)
    devices, texts = members.shape
    by_device = rows.reshape(length, devices, texts, -1).swapaxes(0, 1)
    unit, norms = _units(by_device.reshape(devices, length * texts, -1), dtype)
    mask = mask.reshape(length, devices, texts).swapaxes(0, 1)
    shape = devices, length, texts
    norms = norms.reshape(shape)
    broken = ~(norms <= MOST * tokens.width**0.5).all(axis=1)
    if broken.any():
        raise UserError(not_scorable("Target", int(members[broken].min()) + 1))
    # Padding texts are never reported, so they need no mask.
    complete = not masked and mask.swapaxes(1, 2)[members >= 0].all()
    return TokenBlock(*parallel.place((unit.reshape(*shape, -1), norms, None if complete else mask)))


def spans(tokens: RaggedTokens, dtype: str, few_shapes: bool) -> Iterator[Span]:
    """Puts texts on the devices in blocks of one length, and yields them in spans; see `TargetSpace.build`."""
    blocks: list[TokenBlock] = []
    positions: list[np.ndarray] = []

    def span() -> Span:
        at = np.concatenate(positions, axis=1)
        order = np.argsort(at, axis=1, kind="stable").astype(np.int32)
        return Span(tuple(blocks), *parallel.place((at, order, at >= 0)))

    for length, members in _members(padded_lengths(tokens.lengths, few_shapes=few_shapes), few_shapes):
        blocks.append(_block(tokens, length, members, dtype, few_shapes))
        positions.append(members)
        if few_shapes or len(blocks) == _SPAN_BLOCKS or sum(map(np.size, positions)) >= _SPAN_TARGETS:
            yield span()
            blocks, positions = [], []
    if blocks:
        yield span()
