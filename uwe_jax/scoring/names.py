"""The score of a target with several names: its label, alternative labels and descriptions."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

# Weight of the label's own score; see docs/results.md for how it was chosen.
LABEL_WEIGHT = 0.3


def weighted(label: Any, best: Any, label_weight: float) -> Any:
    """Computes w label + (1 - w) best, of scores or of one part of them."""
    return label_weight * label + (1 - label_weight) * best


def name_scores(
    scores: Float[np.ndarray, "q names"],
    starts: Int[np.ndarray, " n"],
    label_weight: float = LABEL_WEIGHT,
    left_out: Bool[np.ndarray, "q names"] | None = None,
) -> Float[np.ndarray, "q n"]:
    """Computes w s(q, label) + (1 - w) max over names of s(q, name), the label being one of the names.

    The best name says how well a query is met, the label which concept is meant.

    >>> name_scores(np.array([[0.25, 0.75, 0.5]]), np.array([0, 2]), label_weight=0.5).tolist()
    [[0.5, 0.5]]

    Args:
      scores: of all names, those of one target next to each other and its label first.
      starts: position of every target's label, ascending from 0.
      label_weight: w.
      left_out: names that do not count for a query; never labels.
    """
    counted = scores if left_out is None else np.where(left_out, -np.inf, scores)
    best = np.maximum.reduceat(counted, starts, axis=1)
    if label_weight in (0, 1):  # nothing times minus infinity is not a number
        return scores[:, starts] if label_weight else best
    return np.asarray(weighted(scores[:, starts], best, label_weight))


def matched_name(scores: Float[np.ndarray, " names"], label_weight: float = LABEL_WEIGHT) -> int:
    """Returns the position of the name that a target is found by: the best one, or the label where it alone counts.

    >>> matched_name(np.array([0.25, 0.75])), matched_name(np.array([0.25, 0.75]), label_weight=1)
    (1, 0)

    Args:
      scores: of the names of one target, its label first.
      label_weight: as of `name_scores`.
    """
    return 0 if label_weight == 1 else int(scores.argmax())
