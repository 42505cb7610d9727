"""Token embeddings of single texts, kept within a memory budget."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np


class EmbeddingCache:
    """Token embeddings by text; the text that was not asked for longest goes first.

    Texts are kept singly, not target spaces as a whole, since the vocabularies of two ESCO versions share all but a few
    labels, and the queries of one task are the targets of another.

    Args:
      most_bytes: of embeddings to keep.
    """

    def __init__(self, most_bytes: int):
        self._most_bytes = most_bytes
        self._bytes = 0
        self._rows: OrderedDict[str, np.ndarray] = OrderedDict()

    def get(self, text: str) -> np.ndarray | None:
        """Token embeddings [t, d] of a text; None where they are not kept."""
        if text in self._rows:
            self._rows.move_to_end(text)
        return self._rows.get(text)

    def add(self, text: str, rows: np.ndarray) -> None:
        """Keeps the token embeddings of a text that is not kept yet."""
        self._rows[text] = rows.copy()  # a view would keep the whole array that it is a part of
        self._bytes += rows.nbytes
        while self._bytes > self._most_bytes:
            self._bytes -= self._rows.popitem(last=False)[1].nbytes
