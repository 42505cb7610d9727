"""How near a text is to its skill, and to the other skills."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from uwe_jax.evaluation.ranker import Ranker, Score

# Scores that exist at once: 64 MiB of float32.
_SCORES = 2**24


class Nearness(NamedTuple):
    """Of one text.

    Attributes:
      own: score with its skill.
      other: highest score with another skill.
      sibling: position of that skill.
      rank: one more than the number of skills that score higher than its own.
    """

    own: float
    other: float
    sibling: int
    rank: int


class SkillSpace:
    """All skills, made ready for a ranker when the first text comes; what was measured is remembered.

    Args:
      ranker: scores texts, as queries, against skills, as targets.
      skills: labels, at least two.
    """

    def __init__(self, ranker: Ranker, skills: Sequence[str]):
        self._ranker = ranker
        self._skills = skills
        self._score: Score | None = None
        self._known: dict[tuple[str, int], Nearness] = {}

    def measure(self, texts: Sequence[str], skills: Sequence[int]) -> list[Nearness]:
        """Measures texts, each against its skill, by position, and all others."""
        pairs = list(zip(texts, skills, strict=True))
        missing = [pair for pair in dict.fromkeys(pairs) if pair not in self._known]
        if missing and self._score is None:
            self._score = self._ranker.index(self._skills)
        chunk = max(1, min(1024, _SCORES // len(self._skills)))
        for start in range(0, len(missing), chunk):
            part = missing[start : start + chunk]
            assert self._score is not None
            scores = self._score([text for text, _ in part])
            for pair, row in zip(part, scores, strict=True):
                self._known[pair] = _nearness(row, pair[1])
        return [self._known[pair] for pair in pairs]


def _nearness(row: np.ndarray, skill: int) -> Nearness:
    own = float(row[skill])
    others = row.copy()
    others[skill] = -np.inf
    sibling = int(others.argmax())
    return Nearness(own, float(others[sibling]), sibling, 1 + int((others > row[skill]).sum()))
