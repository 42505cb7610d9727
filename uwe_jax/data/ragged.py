"""Lists of different lengths, stored one after another in one array."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int


def run_offsets(counts: Int[np.ndarray, " k"]) -> Int[np.ndarray, " bounds"]:
    """Returns the start of each of k lists, then the end of the last one: int64 [k + 1].

    >>> run_offsets(np.array([2, 0, 3])).tolist()
    [0, 2, 2, 5]
    """
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def run_entries(starts: Int[np.ndarray, " k"], counts: Int[np.ndarray, " k"]) -> Int[np.ndarray, " total"]:
    """Returns the positions of k runs, one run after another; run i has counts[i] positions from starts[i] on.

    >>> run_entries(np.array([7, 0, 3]), np.array([2, 0, 3])).tolist()
    [7, 8, 3, 4, 5]
    """
    return np.arange(counts.sum()) + np.repeat(starts - (np.cumsum(counts) - counts), counts)
