"""Texts and pairs of an evaluation that must not be trained on, as hashes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from uwe_jax.data.training_hashes import held, pair_hashes, text_hashes
from uwe_jax.runtime.kinds import SKILL


@dataclass(frozen=True, eq=False)
class ExcludedTexts:
    """Hashes of evaluation texts, by what they are; see `uwe_jax.data.training_hashes`.

    Attributes:
      queries: by node kind of the query, job or vacancy: uint64, sorted. A skill is asked for by label, and labels
        are what every task has in common: skills that are queries are not left out, only their pairs.
      pairs: of a query and a relevant target, uint64, sorted.
      found: the halves that were at hand, such as "Job normalisation (test)".
      missing: those that were not.
    """

    queries: dict[str, np.ndarray]
    pairs: np.ndarray
    found: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    def nodes(self, texts: Sequence[str], kind: str) -> Bool[np.ndarray, " n"]:
        """Which nodes of a kind are a query.

        A sentence is left out wherever it stands, also among skills. A job title is left out among jobs alone, for a
        skill may have the name of a job.
        """
        hashes = text_hashes(texts)
        found = np.zeros(len(texts), bool)
        for each in ({"vacancy", kind} - {SKILL}) & self.queries.keys():
            found |= held(hashes, self.queries[each])
        return found

    def edges(
        self, left: Sequence[str], right: Sequence[str], rows: np.ndarray, columns: np.ndarray
    ) -> Bool[np.ndarray, " e"]:
        """Which edges between `left[rows]` and `right[columns]` are a query and a relevant target of it."""
        return held(pair_hashes(text_hashes(left)[rows], text_hashes(right)[columns]), self.pairs)
