"""Similarities by a frozen guide, and the negatives that it takes for missing positives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from uwe_jax.config import GuideSettings
from uwe_jax.runtime.kinds import SKILL


@dataclass(frozen=True)
class Guide:
    """Vectors of the nodes, of length 1, and what they are used for."""

    vectors: dict[str, np.ndarray]  # by node kind: float16 [n, d], may be memory-mapped
    settings: GuideSettings
    fingerprint: str = ""  # of the model that the vectors are by

    def similarity(
        self, skills: Int[np.ndarray, " m"], kind: str, neighbours: Int[np.ndarray, " n"]
    ) -> Float[np.ndarray, "m n"]:
        """Returns cosines of skills and nodes of another kind, float32; those of -1 (no node) mean nothing."""
        rows, columns = self.vectors[SKILL][skills], self.vectors[kind][neighbours]
        return rows.astype(np.float32) @ columns.astype(np.float32).T

    def masks(
        self, similarity: Float[np.ndarray, "m n"], positives: Bool[np.ndarray, "m n"]
    ) -> dict[str, Bool[np.ndarray, "m n"]]:
        """Returns the pairs that are not negatives of skills (`forward`) and of their neighbours (`backward`)."""
        forward = likely_positives(similarity, positives, self.settings)
        return {"forward": forward, "backward": likely_positives(similarity.T, positives.T, self.settings).T}


def likely_positives(
    similarity: Float[np.ndarray, "r c"], positives: Bool[np.ndarray, "r c"], settings: GuideSettings
) -> Bool[np.ndarray, "r c"]:
    """Returns the negatives that are nearer to their row's text than its nearest positive, less the margin.

    As in GISTEmbed (Solatorio 2024, arXiv 2402.16829), but that a row may have several positives. The nearest of them
    is the limit: a text's positives are as different as the skills of a job, so the farthest says little about which
    texts are near. A row without a positive, which has no loss, masks nothing.

    >>> similarity, positives = np.array([[0.5, 0.3, 0.6, 0.45]]), np.array([[True, True, False, False]])
    >>> likely_positives(similarity, positives, GuideSettings(mask="absolute", margin=0.1)).tolist()
    [[False, False, True, True]]
    >>> likely_positives(similarity, positives, GuideSettings(mask="relative", margin=0.05)).tolist()
    [[False, False, True, False]]
    """
    nearest = np.where(positives, similarity, -np.inf).max(axis=1, keepdims=True)
    nearest[nearest == -np.inf] = np.inf
    with np.errstate(invalid="ignore"):
        margin = settings.margin * np.abs(nearest) if settings.mask == "relative" else settings.margin
        return (similarity > nearest - margin) & ~positives


def near_negatives(
    similarity: Float[np.ndarray, "k n"], edges: Bool[np.ndarray, "k n"], limits: Float[np.ndarray, " k"]
) -> Int[np.ndarray, " k"]:
    """Returns for each row its nearest column without an edge that is below its limit and not taken by a row before.

    With limits just below the positives' similarities these are the negatives of NV-Retriever's TopK-PercPos (Moreira
    et al. 2024, arXiv 2407.15831). Rows that find none have -1.

    >>> similarity = np.array([[0.9, 0.5, 0.4], [0.1, 0.5, 0.4], [0.1, 0.2, 0.3]])
    >>> edges = np.array([[False, False, False], [True, False, False], [False, False, False]])
    >>> near_negatives(similarity, edges, np.array([0.6, 0.7, 0.05])).tolist()
    [1, 2, -1]
    """
    left = np.where(edges | (similarity >= limits[:, None]), -np.inf, similarity)
    found = np.full(len(left), -1)
    for row, each in enumerate(left):
        best = int(each.argmax())
        if each[best] > -np.inf:
            found[row] = best
            left[:, best] = -np.inf
    return found
