"""Lists of different lengths that lie one after another in one array."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int


def run_offsets(counts: Int[np.ndarray, " k"]) -> Int[np.ndarray, " bounds"]:
    """Where each of k lists starts, and behind them where the last one ends: int64 [k + 1].

    >>> run_offsets(np.array([2, 0, 3])).tolist()
    [0, 2, 2, 5]
    """
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets


def run_entries(starts: Int[np.ndarray, " k"], counts: Int[np.ndarray, " k"]) -> Int[np.ndarray, " total"]:
    """The positions of k runs, one run after another; a run is counts[i] positions from starts[i] on.

    >>> run_entries(np.array([7, 0, 3]), np.array([2, 0, 3])).tolist()
    [7, 8, 3, 4, 5]
    """
    return np.arange(counts.sum()) + np.repeat(starts - (np.cumsum(counts) - counts), counts)
