"""The score of a target with several names: its label, alternative labels and descriptions.

    s(q, t) = (1 - d) (w s(q, label) + (1 - w) max over names n of s(q, n)) + d max over descriptions y of s(q, y)

The label is one of the names, a description is not. A target without a description has d = 0.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

# See docs/results.md for how they were chosen.
LABEL_WEIGHT = 0.3
DESCRIPTION_WEIGHT = 0.15


class NameWeights(NamedTuple):
    """Weights in the score of a target.

    Attributes:
      label: w, of the label's own score, 0 to 1.
      description: d, of the best description's, 0 to 1.
    """

    label: float = LABEL_WEIGHT
    description: float = DESCRIPTION_WEIGHT


class NamePlaces(NamedTuple):
    """Places of n targets' names and descriptions, those of one target next to each other and its label first.

    Attributes:
      starts: int [n], of every target's label, ascending from 0.
      descriptions: bool [names], which of all are descriptions, never labels; None where none is.
    """

    starts: np.ndarray
    descriptions: np.ndarray | None = None

    @property
    def described(self) -> bool:
        """Tells whether there is a description."""
        return self.descriptions is not None and bool(self.descriptions.any())

    def descriptions_in(self, own: slice) -> np.ndarray | None:
        """Returns which of the names and descriptions of one target are descriptions; None where none of all is."""
        return None if self.descriptions is None else self.descriptions[own]


def _weighted(first: Any, others: Any, weight: float) -> Any:
    """Computes w first + (1 - w) others."""
    if weight in (0, 1):  # nothing times minus infinity is not a number
        return first if weight else others
    return weight * first + (1 - weight) * others


def name_scores(
    scores: Float[np.ndarray, "q names"],
    places: NamePlaces,
    weights: NameWeights = NameWeights(),  # noqa: B008 (immutable)
    left_out: Bool[np.ndarray, "q names"] | None = None,
) -> Float[np.ndarray, "q n"]:
    """Computes the scores of targets from those of their names and descriptions.

    The best name says how well a query is met, the label which concept is meant, and the description what it is about.

    >>> scores, starts = np.array([[0.25, 0.75, 0.5]]), np.array([0, 2])
    >>> name_scores(scores, NamePlaces(starts), NameWeights(label=0.5)).tolist()
    [[0.5, 0.5]]
    >>> name_scores(scores, NamePlaces(starts, np.array([False, True, False])), NameWeights(description=0.25)).tolist()
    [[0.375, 0.5]]

    Args:
      scores: of all names and descriptions, in the order of `places`.
      weights: w and d.
      left_out: names that do not count for a query; never labels.
    """
    starts, descriptions = places
    counted = scores if left_out is None else np.where(left_out, -np.inf, scores)
    if descriptions is None or not descriptions.any():
        return np.asarray(_weighted(scores[:, starts], np.maximum.reduceat(counted, starts, axis=1), weights.label))
    best = np.maximum.reduceat(np.where(descriptions, -np.inf, counted), starts, axis=1)
    of_names = _weighted(scores[:, starts], best, weights.label)
    of_descriptions = np.maximum.reduceat(np.where(descriptions, counted, -np.inf), starts, axis=1)
    present = descriptions if left_out is None else descriptions & ~left_out
    described = np.logical_or.reduceat(present, starts, axis=-1)
    return np.where(described, _weighted(of_descriptions, of_names, weights.description), of_names)


class NameShares(NamedTuple):
    """Holds what the score of one target is a weighted sum of.

    Attributes:
      matched: position of the name that the target is found by: the best one, or the label where it alone counts.
      shares: weight of the score at each position, adding up to 1.
    """

    matched: int
    shares: Float[np.ndarray, " names"]


def name_shares(
    scores: Float[np.ndarray, " names"],
    weights: NameWeights = NameWeights(),  # noqa: B008 (immutable)
    descriptions: Bool[np.ndarray, " names"] | None = None,
) -> NameShares:
    """Returns the weights by which the scores of one target's names add up to its own, `name_scores`.

    >>> name_shares(np.array([0.25, 0.75]), NameWeights(label=0.25))
    NameShares(matched=1, shares=array([0.25, 0.75]))

    Args:
      scores: of the names and descriptions of one target, its label first.
      weights: as of `name_scores`.
      descriptions: which of the scores are those of descriptions, never the label's; None where none is.
    """
    shares = np.zeros(len(scores))
    of_names = scores if descriptions is None else np.where(descriptions, -np.inf, scores)
    matched = 0 if weights.label == 1 else int(of_names.argmax())
    shares[0] += weights.label
    shares[matched] += 1 - weights.label
    if descriptions is not None and descriptions.any():
        shares *= 1 - weights.description
        shares[np.where(descriptions, scores, -np.inf).argmax()] = weights.description
    return NameShares(matched, shares)
