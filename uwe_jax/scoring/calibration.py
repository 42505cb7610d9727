"""Maps from scores to probabilities (Platt 1999), and measures of how well the probabilities hold.

p = 1 / (1 + exp(-(b + w · x))), where x has the score of a hit, or that, the score of the query's best hit and the gap
to the next hit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import expit, logit

from uwe_jax.runtime.errors import UserError

# What a probability is computed from; the first is chosen unless the second predicts held-out hits better.
SCORE, IN_CONTEXT = ("score",), ("score", "best", "gap")
BINS = 10


@dataclass(frozen=True)
class Platt:
    """A fitted map.

    Attributes:
      features: `SCORE` or `IN_CONTEXT`.
      weights: one per feature.
      bias: b.

    Raises:
      UserError: other features, another number of weights, or numbers that are not finite.
    """

    features: tuple[str, ...]
    weights: tuple[float, ...]
    bias: float

    def __post_init__(self) -> None:
        if self.features not in (SCORE, IN_CONTEXT) or len(self.weights) != len(self.features):
            raise UserError(f"features are {self.features} with {len(self.weights)} weights; expected {IN_CONTEXT}.")
        if not np.isfinite([*self.weights, self.bias]).all():
            raise UserError(f"weights are {self.weights} and bias {self.bias}; they must be finite.")

    def __call__(self, scores: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
        """Returns the probabilities of the hits of one query, given the scores of all of them, and of the next one.

        >>> Platt(("score",), (4.0,), -2.0)(np.array([0.5, 0.25])).round(2).tolist()
        [0.5, 0.27]
        """
        return self.of(features(scores))

    def of(self, x: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        """Returns the probabilities of hits of any queries, given their `features`."""
        return np.asarray(expit(self.bias + _chosen(x, self.features) @ np.array(self.weights)))


def features(scores: Float[np.ndarray, " k"]) -> Float[np.ndarray, "k 3"]:
    """Returns the features `IN_CONTEXT` of the hits of one query, in their order; the last hit's gap is 0.

    >>> features(np.array([0.75, 0.5, 0.25])).tolist()
    [[0.75, 0.75, 0.25], [0.5, 0.75, 0.25], [0.25, 0.75, 0.0]]
    """
    scores = np.asarray(scores, np.float64)
    gaps = np.append(scores[:-1] - scores[1:], 0.0)[: len(scores)]
    return np.stack([scores, np.full(len(scores), scores.max(initial=-np.inf)), gaps], axis=1)


def _chosen(x: np.ndarray, names: Sequence[str]) -> np.ndarray:
    return x[:, [IN_CONTEXT.index(name) for name in names]]


def fit(x: Float[np.ndarray, "n 3"], right: Bool[np.ndarray, " n"], names: Sequence[str]) -> Platt:
    """Fits the map by maximum likelihood to hits that are right or wrong.

    Targets are Platt's (n+ + 1) / (n+ + 2) and 1 / (n- + 2) instead of 1 and 0, so that few judgements do not give
    certainty, and there is an optimum where scores separate right from wrong.

    Args:
      x: as of `features`.
      names: those of them that the map takes.
    """
    from scipy.optimize import minimize

    x = _chosen(x, names)
    positive = int(right.sum())
    goal = np.where(right, (positive + 1) / (positive + 2), 1 / (len(right) - positive + 2))
    mean, spread = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-9)
    z = np.column_stack([(x - mean) / spread, np.ones(len(x))])

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        logits = z @ w
        return float(np.mean(np.logaddexp(0, logits) - goal * logits)), z.T @ (expit(logits) - goal) / len(z)

    start = np.append(np.zeros(len(names)), logit(goal.mean()))
    *weights, bias = minimize(loss, start, jac=True, method="BFGS").x
    weights = np.array(weights) / spread
    return Platt(tuple(names), tuple(map(float, weights)), float(bias - weights @ mean))


def log_loss(p: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"]) -> float:
    """Computes the mean of -log of the probability of what was observed."""
    observed = np.where(right, p, 1 - p)
    return float(-np.log(np.maximum(observed, 1e-12)).mean())


def reliability(
    p: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"], bins: int = BINS
) -> Float[np.ndarray, "bins 3"]:
    """Returns mean probability, share that is right and number of hits of bins of equal mass, by probability."""
    order = np.argsort(p, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return np.array([(p[each].mean(), right[each].mean(), len(each)) for each in parts]).reshape(-1, 3)


def expected_calibration_error(p: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"], bins: int = BINS) -> float:
    """Computes the mean over bins of equal mass of |mean probability - share that is right|, weighted by their hits.

    >>> expected_calibration_error(np.array([0.25, 0.25, 0.75, 0.75]), np.array([False, False, True, True]), bins=2)
    0.25
    """
    means, shares, hits = reliability(p, right, bins).T
    return float(np.average(abs(means - shares), weights=hits))


def risk_coverage(p: Float[np.ndarray, " q"], right: Bool[np.ndarray, " q"]) -> Float[np.ndarray, "q 2"]:
    """Returns coverage and risk where the queries of highest probability are answered, one more in each row.

    Risk is the share of the answers that is wrong (Geifman and El-Yaniv 2017).

    >>> risk_coverage(np.array([0.25, 0.75]), np.array([False, True])).tolist()
    [[0.5, 0.0], [1.0, 0.5]]

    Args:
      p: of the best hit of q queries.
      right: whether that hit is right.
    """
    answered = np.arange(1, len(p) + 1)
    wrong = np.cumsum(~right[np.argsort(-p, kind="stable")])
    return np.column_stack([answered / max(1, len(p)), wrong / answered])


def separation(values: Float[np.ndarray, " q"], positive: Bool[np.ndarray, " q"]) -> float | None:
    """Computes the area under the ROC curve, ties counting half; None where only one class occurs.

    >>> separation(np.array([0.5, 0.25, 0.75]), np.array([True, False, True]))
    1.0
    """
    from scipy.stats import rankdata

    n, m = int(positive.sum()), int((~positive).sum())
    return None if not n or not m else float((rankdata(values)[positive].sum() - n * (n + 1) / 2) / (n * m))


def half_width(n: int, share: float = 0.5) -> float:
    """Computes half the width of Wilson's 95 % interval of a share measured on n judgements; 0.5 without any.

    >>> round(half_width(100), 3), half_width(0)
    (0.096, 0.5)
    """
    z = 1.96
    return z * math.sqrt(share * (1 - share) * n + z * z / 4) / (n + z * z)


def operating_point(
    p: Float[np.ndarray, " n"],
    right: Bool[np.ndarray, " n"],
    query: Int[np.ndarray, " n"],
    targets: Int[np.ndarray, " q"],
    threshold: float,
) -> dict[str, Any]:
    """Measures what hits of at least a probability are worth.

    Args:
      p: of the hits of q queries.
      right: whether each is right.
      query: position of the query of each.
      targets: number of right targets of each query, among its hits or not.

    Returns:
      The `probability`; `hits` that reach it, their mean probability, `expected`, which is their precision as far as
      probabilities hold, and their `precision`, both 1 without any; `recall` of all right targets; `f1`; the
      `coverage`, the share of queries with such a hit; and `none_wrong`: of the queries without one, the share that
      has a right target, 0 where every query has one.
    """
    chosen = p >= threshold
    hits, found = int(chosen.sum()), int((chosen & right).sum())
    answered = np.zeros(len(targets), bool)
    answered[query[chosen]] = True
    precision = found / hits if hits else 1.0
    recall = found / max(1, int(targets.sum()))
    none = ~answered
    return {
        "probability": threshold,
        "hits": hits,
        "expected": float(p[chosen].mean()) if hits else 1.0,
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall) if found else 0.0,
        "coverage": float(answered.mean()),
        "none_wrong": float((targets[none] > 0).mean()) if none.any() else 0.0,
    }
