"""Matrices in low rank.

    W ~ L R,  L [m, r] and R [r, n] from the r largest singular values of W (Eckart and Young, 1936)

Every column of L and row of R is stored as eight-bit integers times a power of two. Their product has no rounding error
in float64, whatever the order of its sums, so that all processors restore the same bits.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int8

_LARGEST = 127
_SPAN = 30  # exponents between the largest and the smallest product, which a sum in float64 holds beside 2 x 7 bits


def factorise(
    difference: Float[np.ndarray, "m n"], rank: int
) -> tuple[Int8[np.ndarray, "m r"], Int8[np.ndarray, "r n"], Int8[np.ndarray, "2 r"]]:
    """Returns eight-bit factors of a matrix, and the exponents of two that their columns and rows are scaled by.

    The rank is that of the matrix where it is smaller, without components too small beside the largest to be summed
    without error.
    """
    u, s, vt = np.linalg.svd(np.asarray(difference, np.float64), full_matrices=False)
    roots = np.sqrt(s[:rank])
    left, right = u[:, :rank] * roots, vt[:rank] * roots[:, None]
    largest = np.stack([np.abs(left).max(axis=0), np.abs(right).max(axis=1)])
    exponents = np.ceil(np.log2(np.maximum(largest, 1e-30) / _LARGEST))
    together = exponents.sum(axis=0)
    kept = np.flatnonzero((together > together.max(initial=-np.inf) - _SPAN) & (roots > 0))
    exponents = exponents[:, kept].astype(np.int8)
    scale = np.exp2(exponents.astype(np.float64))
    # safetensors writes raw memory, which LAPACK orders by columns.
    integers = [
        np.rint(each).astype(np.int8, order="C") for each in (left[:, kept] / scale[0], right[kept] / scale[1][:, None])
    ]
    return integers[0], integers[1], np.ascontiguousarray(exponents)


def multiply(
    left: Int8[np.ndarray, "m r"], right: Int8[np.ndarray, "r n"], exponents: Int8[np.ndarray, "2 r"]
) -> Float[np.ndarray, "m n"]:
    """Returns the product of factors in float64, without rounding error."""
    scale = np.exp2(exponents.astype(np.float64))
    return (left * scale[0]) @ (right * scale[1][:, None])
