"""All names and descriptions of a task's targets."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from uwe_jax.data.ragged import run_offsets
from uwe_jax.scoring.names import NamePlaces


class TargetNames(NamedTuple):
    """The names and descriptions of targets, those of one target next to each other and its label first.

    Attributes:
      texts: distinct, in the order in which they occur first.
      rows: int [names], the position in `texts` of every name and description; targets may share one.
      places: of these.
    """

    texts: tuple[str, ...]
    rows: np.ndarray
    places: NamePlaces

    @classmethod
    def of(cls, names: Sequence[Sequence[str]], descriptions: Sequence[Sequence[str]] = ()) -> TargetNames:
        """Takes of each target its label with its further names, and its descriptions if there are any."""
        whole = (
            [(*own, *described) for own, described in zip(names, descriptions, strict=True)] if descriptions else names
        )
        row_of = {text: row for row, text in enumerate(dict.fromkeys(itertools.chain(*whole)))}
        starts = run_offsets(np.array([*map(len, whole)]))[:-1]
        is_description = None
        if any(descriptions):
            counts = [count for pair in zip(names, descriptions, strict=True) for count in map(len, pair)]
            is_description = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
        rows = np.array([row_of[text] for texts in whole for text in texts])
        return cls(tuple(row_of), rows, NamePlaces(starts, is_description))
