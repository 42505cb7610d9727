"""Number formats of stored token embeddings."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.settings import one_of

DTYPES = {
    "float32": np.dtype(np.float32),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float16": np.dtype(np.float16),
    "int8": np.dtype(np.int8),
}
_ROWS = 1 << 16  # converted at once, so that a large index never has a second copy in float32


def check_dtype(dtype: str) -> None:
    """Raises UserError for a dtype that is not one of `DTYPES`."""
    one_of("The dtype of an index", dtype, tuple(DTYPES))


def quantise(flat: np.ndarray, dtype: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Converts token embeddings to a storage dtype.

    In int8 each token has its own scale: value = round(127 x / max |x|), scale = max |x| / 127. The largest error
    of a component is half a scale.

    Args:
      flat: [t, d] in any float dtype.
      dtype: of `DTYPES`.

    Returns:
      Values [t, d] and, in int8, scales float32 [t].

    Raises:
      UserError: an embedding is not finite, or too large for float16.
    """
    values = flat if flat.dtype == DTYPES[dtype] else np.empty(flat.shape, DTYPES[dtype])
    scales = np.empty(len(flat), np.float32) if dtype == "int8" else None
    for start in range(0, len(flat), _ROWS):
        rows = slice(start, start + _ROWS)
        if not np.isfinite(flat[rows]).all():
            raise UserError(
                "An embedding holds NaN or infinity, so its target could never be ranked. The model's weights are "
                "damaged or its training diverged: use another checkpoint."
            )
        if scales is not None:
            wide = flat[rows].astype(np.float32)
            scales[rows] = np.abs(wide).max(axis=1, initial=0.0) / np.float32(127)
            values[rows] = np.rint(wide / np.where(scales[rows] > 0, scales[rows], np.float32(1))[:, None])
        elif values is not flat:
            with np.errstate(over="ignore"):
                values[rows] = flat[rows].astype(values.dtype)
            if not np.isfinite(values[rows]).all():
                largest = float(np.abs(flat[rows].astype(np.float32)).max())
                raise UserError(f"An embedding holds {largest:g}, which is beyond {dtype}. Store the index in float32.")
    return values, scales


def is_finite(stored: np.ndarray) -> bool:
    """Returns whether all stored floats are finite, by their bits: for two bytes several times as fast as NumPy.

    >>> is_finite(np.array([65504.0, -0.0], np.float16)), is_finite(np.array([[0.0, np.nan]], np.float16))
    (True, False)
    """
    unsigned = f"u{stored.itemsize}"
    exponent = np.array(np.inf, stored.dtype).view(unsigned)
    chunks = (stored[start : start + _ROWS].view(unsigned) for start in range(0, len(stored), _ROWS))
    return all(((bits & exponent) != exponent).all() for bits in chunks)


def restore(values: np.ndarray, scales: np.ndarray | None) -> np.ndarray:
    """Returns token embeddings [t, d] as floats: stored ones without a copy, int8 times scale as float32.

    >>> restore(*quantise(np.array([[1.27, -0.5]], np.float32), "int8")).round(3).tolist()
    [[1.2699999809265137, -0.5]]
    """
    if scales is None:
        return values
    wide = values.astype(np.float32)
    wide *= scales[:, None]
    return wide
