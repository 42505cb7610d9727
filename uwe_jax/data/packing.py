"""Packing of texts into rows of one length, several to a row, so that little of a batch is padding."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Int


class Packing(NamedTuple):
    """Tokens of every row, and the place of each text's first token among those of all rows, row by row: int [n]."""

    rows: list[int]
    starts: Int[np.ndarray, " n"]


def pack(lengths: Int[np.ndarray, " n"], *row_lengths: int) -> Packing:
    """Packs texts by best fit, the longest first: each into the fullest row that has room for it, else into a new row.

    >>> pack(np.array([3, 0, 5, 2]), 6)  # rows of 5; of 3 and 2
    Packing(rows=[6, 6], starts=array([6, 0, 0, 9]))

    Args:
      lengths: tokens of each text; one without tokens takes no room and starts at 0.
      row_lengths: tokens that a row may have, ascending: the fewest that hold its first text. No text has more.
    """
    starts = np.zeros(len(lengths), np.int64)
    ends_with: list[list[int]] = [[] for _ in range(row_lengths[-1] + 1)]  # of rows, by the tokens that are left
    rows: list[int] = []
    left = total = 0  # bit k of `left`: whether a row has k tokens left
    order = np.argsort(-lengths, kind="stable")[: np.count_nonzero(lengths)]
    for text, tokens in zip(order.tolist(), lengths[order].tolist(), strict=True):
        if fitting := left >> tokens:
            room = tokens + (fitting & -fitting).bit_length() - 1
            end = ends_with[room].pop()
            left ^= (not ends_with[room]) << room
        else:
            room = next(length for length in row_lengths if length >= tokens)
            rows.append(room)
            end = total = total + room
        starts[text] = end - room
        ends_with[room - tokens].append(end)
        left |= 1 << (room - tokens)
    return Packing(rows, starts)


def one_per_row(lengths: Int[np.ndarray, " n"], *row_lengths: int) -> Packing:
    """Places each text in a row of its own, the longest first, of the least length that holds it; see `pack`.

    >>> one_per_row(np.array([3, 5]), 4, 6)
    Packing(rows=[6, 4], starts=array([6, 0]))
    """
    order = np.argsort(-lengths, kind="stable")
    rows = np.array(row_lengths)[np.searchsorted(row_lengths, lengths[order])]
    starts = np.zeros(len(lengths), np.int64)
    starts[order] = np.cumsum(rows) - rows
    return Packing(rows.tolist(), starts)


def most_rows(longest: Int[np.ndarray, " n"], length: int) -> int:
    """Returns a number of rows that no packing of `pack` exceeds if its texts, by size, have at most these lengths.

    With the longest first, neither best fit nor first fit takes more than 11/9 of the fewest possible rows and 4 more
    (Johnson, Demers, Ullman, Garey and Graham, "Worst-case performance bounds for simple one-dimensional packing
    algorithms", 1974, which outlines the proof). The fewest possible rows of shorter texts are no more than those of
    the longest, but best fit may take more of them.
    """
    return min(int(np.count_nonzero(longest)), 11 * len(pack(longest, length).rows) // 9 + 4)
