"""Matrices in a few bits per number, with a step per row and block of columns.

    w ~ (c - 2^(b - 1) + 1/2) step,  c in 0, ..., 2^b - 1

The step is that of the least square error. A product of two numbers is rounded in one way alone, so that all
processors restore the same bits.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32, UInt8

BITS = range(1, 9)
_BLOCK = 128  # columns that share a step, which is 32 / 128 of a bit per number
# Steps that are tried, as shares of the one at which no number of the block is clipped.
_SHARES = np.linspace(0.04, 1, 49)


def quantise(
    matrix: Float[np.ndarray, "m n"], bits: int
) -> tuple[UInt8[np.ndarray, "m b bytes"], Float32[np.ndarray, "m blocks"]]:
    """Returns the codes of a matrix, one bit of each beside the same bit of the others, and the steps.

    Args:
      matrix: any finite numbers.
      bits: b, of `BITS`.
    """
    rows, columns = matrix.shape
    blocks = -(-columns // _BLOCK)
    # Zeros that fill up the last block would count in the choice of its step.
    padded = np.full((rows, blocks * _BLOCK), np.nan)
    padded[:, :columns] = matrix
    parts = padded.reshape(rows, blocks, _BLOCK)
    widest = np.nanmax(np.abs(parts), axis=2) / 2 ** (bits - 1)
    steps, least = np.zeros(widest.shape, np.float32), np.full(widest.shape, np.inf)
    for share in _SHARES:
        tried = (widest * share).astype(np.float32)
        error = np.nansum(np.square(_values(_codes(parts, tried, bits), tried[..., None], bits) - parts), axis=2)
        steps, least = np.where(error < least, tried, steps), np.minimum(error, least)
    codes = _codes(np.nan_to_num(parts), steps, bits).reshape(rows, -1)[:, :columns].astype(np.uint8)
    planes = [np.packbits((codes >> bit) & 1, axis=1) for bit in range(bits)]
    return np.stack(planes, axis=1), steps


def dequantise(
    planes: UInt8[np.ndarray, "m b bytes"], steps: Float32[np.ndarray, "m blocks"], columns: int
) -> Float[np.ndarray, "m n"]:
    """Returns the matrix [m, columns] that `quantise` has stored nearly, in float64.

    Raises:
      ValueError: there are fewer or more bytes or steps than columns.
    """
    rows, bits, _ = planes.shape
    blocks = -(-columns // _BLOCK)
    if planes.shape[2] != -(-columns // 8) or steps.shape != (rows, blocks) or bits not in BITS:
        raise ValueError(f"planes {list(planes.shape)} and steps {list(steps.shape)} are not of {rows} x {columns}")
    unpacked = np.unpackbits(planes, axis=2, count=columns)
    codes = sum(unpacked[:, bit].astype(np.float64) * 2**bit for bit in range(bits))
    return _values(codes, np.repeat(steps, _BLOCK, axis=1)[:, :columns], bits)


def _codes(parts: np.ndarray, steps: np.ndarray, bits: int) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.floor(parts / steps[..., None].astype(np.float64))
    return np.clip(np.where(steps[..., None] > 0, found, 0) + 2 ** (bits - 1), 0, 2**bits - 1)


def _values(codes: np.ndarray, steps: np.ndarray, bits: int) -> np.ndarray:
    return (codes - 2 ** (bits - 1) + 0.5) * steps.astype(np.float64)
