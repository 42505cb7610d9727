"""Differences between the weights of two encoders: what training changed, in a few megabytes.

    W = W_0 + D,  D in low rank (`low_rank`) or in a few bits per weight (`quantised`)

Of one size, bits keep more (docs/export.md); a low rank can be smaller than one bit per weight. Liu et al. (2024, arXiv
2402.10193) quantise the changes of fine-tuning in this way, in one bit.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from uwe_jax.models.low_rank import factorise, multiply
from uwe_jax.models.quantised import dequantise, quantise
from uwe_jax.runtime.errors import UserError

Tensors = Mapping[str, np.ndarray]

TABLES = frozenset({"embeddings.word_embeddings.weight", "embeddings.tok_embeddings.weight"})
"""The embeddings of tokens, of which training changes a few thousand rows: those of the tokens in its texts."""
_KEPT = 0.99  # of the square of a table's change: weight decay alone changes the other rows, by next to nothing
_LEFT, _RIGHT, _EXPONENTS = ".left", ".right", ".exponents"
_PLANES, _STEPS, _ROWS = ".planes", ".steps", ".rows"


def difference_of(base: Tensors, trained: Tensors, *, rank: int = 0, bits: int = 0) -> dict[str, np.ndarray]:
    """Returns what turns the weights of `base` into nearly those of `trained`; see `add_difference`.

    Matrices change nearly as they did, and vectors as they did. Of the tables in `TABLES` the rows that changed most
    change where `bits` are given; in low rank they stay those of `base`, as their factors would be the largest.

    Args:
      base: float32 by name.
      trained: of the same names and shapes.
      rank: of the changes of matrices; 0 where `bits` are given.
      bits: per number of these changes, 1 to 8.
    """
    found: dict[str, np.ndarray] = {}
    for name, tensor in trained.items():
        if name in TABLES and rank:
            continue
        change = tensor.astype(np.float64) - base[name]
        if name in TABLES:
            found[name + _ROWS] = rows = _most_changed(change)
            change = change[rows]
        if tensor.ndim == 1:
            found[name] = change.astype(np.float32)
        elif rank:
            found[name + _LEFT], found[name + _RIGHT], found[name + _EXPONENTS] = factorise(change, rank)
        else:
            found[name + _PLANES], found[name + _STEPS] = quantise(change, bits)
    return found


def add_difference(base: Tensors, difference: Tensors) -> dict[str, np.ndarray]:
    """Returns the weights of `base`, changed by what `difference_of` found, as float32.

    Raises:
      UserError: the difference names tensors that `base` lacks or of other shapes, or a part of one is missing.
    """
    changed = dict(base)
    for stored in difference:
        if stored.endswith((_RIGHT, _EXPONENTS, _STEPS, _ROWS)):
            continue
        name = stored.removesuffix(_LEFT).removesuffix(_PLANES)
        if name not in base:
            raise UserError(f"{name} changes, and is missing in the encoder that it is added to.")
        value = _change(difference, stored, name, base[name].shape)
        if base[name].shape != value.shape:
            raise UserError(
                f"{name} changes by {list(value.shape)}, and is {list(base[name].shape)} in the encoder that it is "
                "added to."
            )
        changed[name] = (base[name].astype(np.float64) + value).astype(np.float32)
    return changed


def _change(difference: Tensors, stored: str, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Returns the change of one tensor in the encoder, which has `shape` there."""
    value = difference[stored]
    if stored == name + _LEFT:
        right, exponents = difference.get(name + _RIGHT), difference.get(name + _EXPONENTS)
        if right is None or exponents is None or {(2, value.shape[1]), (2, len(right))} != {exponents.shape}:
            raise UserError(f"{name} has no pair of factors with one exponent per column and row.")
        return multiply(value, right, exponents)
    if stored == name + _PLANES:
        steps = difference.get(name + _STEPS)
        if steps is None:
            raise UserError(f"{name} has no steps beside its bits.")
        try:
            some = dequantise(value, steps, shape[-1])
            if name + _ROWS not in difference:
                return some
            whole = np.zeros(shape)
            whole[difference[name + _ROWS]] = some
        except (ValueError, IndexError) as error:
            raise UserError(f"{name} is {list(shape)} in the encoder that it is added to, but its {error}.") from error
        return whole
    return value


def _most_changed(change: np.ndarray) -> np.ndarray:
    """Returns the fewest rows, int32 in rising order, that have `_KEPT` of the square of a matrix."""
    squares = np.square(change).sum(axis=1)
    order = np.argsort(-squares, kind="stable")
    enough = int(np.searchsorted(np.cumsum(squares[order]), _KEPT * squares.sum())) + 1
    return np.sort(order[:enough]).astype(np.int32)


def lost_share(base: Tensors, trained: Tensors, restored: Tensors) -> float:
    """Returns |trained - restored| / |trained - base| in the Frobenius norm of all weights together, 0 to 1 or so."""
    left, whole = (
        sum(float(np.square(tensor.astype(np.float64) - other[name]).sum()) for name, tensor in trained.items())
        for other in (restored, base)
    )
    return float(np.sqrt(left / whole)) if whole else 0.0
