"""Classification metrics of scores: every target is a label, which a query has if its score reaches a threshold.

    precision  TP / (TP + FP) of a label, over all queries; 0 without a predicted one
    recall     TP / (TP + FN); 0 without a relevant one
    f1         2 TP / (2 TP + FP + FN); 0 without either
    roc_auc    probability that a query with the label scores higher for it than one without, ties counting a half

All are means over labels (macro): of all n labels, and roc_auc of those that some queries have and others lack.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float64, Real
from scipy.sparse import csr_array
from scipy.stats import rankdata

THRESHOLDS = np.linspace(0.1, 0.9, 9)
MACRO = ("f1_macro", "precision_macro", "recall_macro")
_LABELS = 512  # whose scores are ranked at once


def best_threshold(scores: Real[np.ndarray, "q n"], relevant: csr_array) -> float:
    """Returns the one of `THRESHOLDS` with the highest F1, the lowest of equal ones."""

    def f1(threshold: float) -> float:
        predicted = _predicted(scores, threshold)
        parts = (predicted.multiply(relevant), predicted, relevant)
        return float(_macro(*(each.sum(axis=0) for each in parts))[0])

    return float(max(THRESHOLDS, key=f1))


def classification(
    scores: Real[np.ndarray, "q n"], relevant: csr_array, threshold: float, *, samples: int = 1000
) -> dict[str, Any]:
    """Returns `threshold`, `metrics` and their bootstrap 95 % `intervals`, in percent.

    Args:
      relevant: int [q, n], 1 where a query has a label.
      samples: resamples of the queries, those of `bootstrap_interval`; 0 computes no intervals. roc_auc has none.
    """
    predicted = _predicted(scores, threshold)
    parts = (predicted.multiply(relevant), predicted, relevant)
    macro = _macro(*(each.sum(axis=0) for each in parts))
    rng, q = np.random.default_rng(0), len(scores)
    drawn = [
        _macro(*(weights @ each for each in parts))
        for weights in (np.bincount(rng.integers(0, q, q), minlength=q) for _ in range(samples))
    ]
    ends = np.quantile(drawn, [0.025, 0.975], axis=0).T if drawn else ()
    auc = roc_auc(scores, relevant)
    metrics = dict(zip(MACRO, macro.tolist(), strict=True)) | ({} if np.isnan(auc) else {"roc_auc": auc})
    return {
        "threshold": threshold,
        "metrics": {name: 100.0 * value for name, value in metrics.items()},
        "intervals": {name: (100.0 * each).tolist() for name, each in zip(MACRO, ends, strict=False)},
    }


def roc_auc(scores: Real[np.ndarray, "q n"], relevant: csr_array) -> float:
    """Returns the mean area under the ROC curve over labels that some queries have and others lack; NaN without any.

    >>> roc_auc(np.array([[0.9, 1], [0.1, 1], [0.9, 1]]), csr_array([[1, 0], [0, 0], [0, 0]]))
    0.75
    """
    q, n = scores.shape
    positives = np.bincount(relevant.indices, minlength=n)
    labels = np.flatnonzero((positives > 0) & (positives < q))
    areas = []
    for start in range(0, len(labels), _LABELS):
        part = labels[start : start + _LABELS]
        ranks = rankdata(scores[:, part], axis=0)
        own, p = (ranks * (relevant[:, part].toarray() != 0)).sum(axis=0), positives[part]
        areas.append((own - p * (p + 1) / 2) / (p * (q - p)))
    return float(np.concatenate(areas).mean()) if areas else float("nan")


def _predicted(scores: Real[np.ndarray, "q n"], threshold: float) -> csr_array:
    return csr_array((scores >= threshold).astype(np.int64))


def _macro(hits: np.ndarray, predicted: np.ndarray, relevant: np.ndarray) -> Float64[np.ndarray, " 3"]:
    """Averages F1, precision and recall over labels, from the counts [n] of each label."""
    ratios = [(2 * hits, predicted + relevant), (hits, predicted), (hits, relevant)]
    return np.array([np.divide(a, b, out=np.zeros(len(hits)), where=b > 0).mean() for a, b in ratios])
