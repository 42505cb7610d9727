"""Differences between the weights of two encoders in low rank: what training changed, in a few megabytes.

    W = W_0 + L R,  L [m, r] and R [r, n] from the r largest singular values of W - W_0 (Eckart and Young, 1936)

Every column of L and row of R is stored as eight-bit integers times a power of two. Their product has no rounding error
in float64, whatever the order of its sums, so that all processors restore the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int8

from uwe_jax.runtime.errors import UserError

Tensors = Mapping[str, np.ndarray]

WHOLE = frozenset({"embeddings.word_embeddings.weight", "embeddings.tok_embeddings.weight"})
"""Tables of which training on work titles changes little that matters, and whose factors would be the largest."""
_LEFT, _RIGHT, _EXPONENTS = ".left", ".right", ".exponents"
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


def difference_of(base: Tensors, trained: Tensors, rank: int) -> dict[str, np.ndarray]:
    """Returns what turns the weights of `base` into nearly those of `trained`; see `add_difference`.

    Matrices change in low rank, but for the tables in `WHOLE`, which stay those of `base`; vectors change as they did.

    Args:
      base: float32 by name.
      trained: of the same names and shapes.
      rank: r, at least 1.
    """
    found: dict[str, np.ndarray] = {}
    for name, tensor in trained.items():
        if name in WHOLE:
            continue
        change = tensor.astype(np.float64) - base[name]
        if tensor.ndim == 1:
            found[name] = change.astype(np.float32)
        else:
            found[name + _LEFT], found[name + _RIGHT], found[name + _EXPONENTS] = factorise(change, rank)
    return found


def add_difference(base: Tensors, difference: Tensors) -> dict[str, np.ndarray]:
    """Returns the weights of `base`, changed by what `difference_of` found, as float32.

    Raises:
      UserError: the difference names tensors that `base` lacks, or factors of other shapes.
    """
    changed = dict(base)
    for stored, value in difference.items():
        name = stored.removesuffix(_LEFT)
        if stored.endswith((_RIGHT, _EXPONENTS)):
            continue
        if name != stored:
            right, exponents = difference.get(name + _RIGHT), difference.get(name + _EXPONENTS)
            if right is None or exponents is None or {(2, value.shape[1]), (2, len(right))} != {exponents.shape}:
                raise UserError(f"{name} has no pair of factors with one exponent per column and row.")
            value = multiply(value, right, exponents)
        if name not in base or base[name].shape != value.shape:
            there = f"is {list(base[name].shape)}" if name in base else "is missing"
            raise UserError(f"{name} changes by {list(value.shape)}, and {there} in the encoder that it is added to.")
        changed[name] = (base[name].astype(np.float64) + value).astype(np.float32)
    return changed


def lost_share(base: Tensors, trained: Tensors, restored: Tensors) -> float:
    """Returns |trained - restored| / |trained - base| in the Frobenius norm of all weights together, 0 to 1 or so."""
    left, whole = (
        sum(float(np.square(tensor.astype(np.float64) - other[name]).sum()) for name, tensor in trained.items())
        for other in (restored, base)
    )
    return float(np.sqrt(left / whole)) if whole else 0.0
