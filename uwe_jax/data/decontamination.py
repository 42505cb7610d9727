"""Texts and pairs of an evaluation that are excluded from training, as hashes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from uwe_jax.data.training_hashes import held, pair_hashes, text_hashes
from uwe_jax.runtime.kinds import SKILL


@dataclass(frozen=True, eq=False)
class ExcludedTexts:
    """Hashes of evaluation texts by their kind; see `uwe_jax.data.training_hashes`.

    Attributes:
      queries: by node kind of the query, job or vacancy: uint64, sorted. Skills that are queries are not excluded, only
        their pairs: a skill is queried by its label, and all tasks share the labels.
      pairs: of a query and a relevant target, uint64, sorted.
      found: splits of tasks whose data was available, such as "Job normalisation (test)".
      missing: those whose data was not.
    """

    queries: dict[str, np.ndarray]
    pairs: np.ndarray
    found: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    def nodes(self, texts: Sequence[str], kind: str) -> Bool[np.ndarray, " n"]:
        """Returns which nodes of a kind are a query.

        A sentence is excluded from all kinds, also from skills. A job title is excluded from jobs only, since a skill
        may have the name of a job.
        """
        hashes = text_hashes(texts)
        found = np.zeros(len(texts), bool)
        for each in ({"vacancy", kind} - {SKILL}) & self.queries.keys():
            found |= held(hashes, self.queries[each])
        return found

    def edges(
        self, left: Sequence[str], right: Sequence[str], rows: np.ndarray, columns: np.ndarray
    ) -> Bool[np.ndarray, " e"]:
        """Returns which edges between `left[rows]` and `right[columns]` are a query and its relevant target."""
        return held(pair_hashes(text_hashes(left)[rows], text_hashes(right)[columns]), self.pairs)
