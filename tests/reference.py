"""Scores and losses written once more in plain float64 NumPy loops: the yardstick of the fast ones."""

import numpy as np


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def score(
    q, y, *, kind="soft", logits="cosine", tau_a=0.3, reduce="mean", side="both", target_tau_a=None, target_weight=0.5
):
    """s(q, y) of two arrays of real tokens [i, d] and [j, d]; a single temperature is that of both sides."""
    if len(q) == 0 or len(y) == 0:
        return 0.0
    if side != "query" and kind in ("soft", "max_sim"):
        weight = 1.0 if side == "target" else target_weight
        options = {"kind": kind, "logits": logits, "reduce": reduce, "side": "query"}
        by_target = score(y, q, tau_a=tau_a if target_tau_a is None else target_tau_a, **options)
        return (1 - weight) * score(q, y, tau_a=tau_a, **options) + weight * by_target

    def unit(x):
        return x / np.linalg.norm(x, axis=-1, keepdims=True)

    if kind == "mean_pool":
        return unit(q.mean(0)) @ unit(y.mean(0))
    if kind == "soft_pooled":
        pooled = y.mean(0)
        cosine = unit(q) @ unit(pooled)
        weights = softmax((cosine if logits == "cosine" else q @ pooled) / tau_a)
        return weights @ cosine
    cosine, dot = unit(q) @ unit(y).T, q @ y.T
    rows = []
    for i in range(len(q)):
        if kind == "max_sim":
            rows.append(cosine[i].max())
        else:
            rows.append(softmax((cosine if logits == "cosine" else dot)[i] / tau_a) @ cosine[i])
    return np.sum(rows) if reduce == "sum" else np.mean(rows)


def score_matrix(queries, targets, **options):
    """s(q, y) of lists of token arrays."""
    return np.array([[score(q, y, **options) for y in targets] for q in queries])


def info_nce(scores, positives, tau, drop_other_positives=False):
    """The mean over rows with a positive of the mean over positives of -log softmax."""
    losses = []
    for row, positive in zip(scores / tau, positives, strict=True):
        if not positive.any():
            continue
        terms = []
        for p in np.flatnonzero(positive):
            kept = ~positive if drop_other_positives else np.ones_like(positive)
            kept = kept.copy()
            kept[p] = True
            peak = row[kept].max()
            terms.append(peak + np.log(np.exp(row[kept] - peak).sum()) - row[p])
        losses.append(np.mean(terms))
    return float(np.mean(losses)) if losses else 0.0
