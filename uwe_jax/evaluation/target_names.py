"""Ranks targets by all their names, with any ranker, and reports on the names of a task."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from uwe_jax.evaluation.measure import checked
from uwe_jax.evaluation.ranker import Ranker, Score
from uwe_jax.evaluation.tasks.task import RankingTask, TargetNames
from uwe_jax.scoring.names import name_scores
from uwe_jax.sources.notes import counted


class NamesRanker:
    """Ranks the targets of one task by their labels and further names; see `name_scores`.

    Everything but `index` is the ranker's own.
    """

    def __init__(self, ranker: Ranker, task: RankingTask, label_weight: float):
        self._ranker, self._task, self._label_weight = ranker, task, label_weight

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ranker, name)

    def index(self, targets: Sequence[str]) -> Score:
        """Prepares the names of the task's targets, a name of several targets once; see `Ranker.index`."""
        task, further = self._task, _further_places(self._task)
        return score_by_names(
            self._ranker,
            task.target_names,
            self._label_weight,
            f"{self._ranker.name} on the names of {task.title}",
            (lambda query: further.get(query.casefold(), [])) if task.queries_are_names else None,
        )


def score_by_names(
    ranker: Ranker,
    names: TargetNames,
    label_weight: float,
    where: str,
    left_out: Callable[[str], list[int]] | None = None,
) -> Score:
    """Prepares the names of targets, and returns a function of q queries to the targets' scores [q, n].

    Args:
      where: what ranks what, for errors.
      left_out: returns the places, of `names.places`, of the names that do not count for a query.

    Raises:
      UserError: as of `checked`, by that function.
    """
    texts, places, starts = names
    score = ranker.index(texts)

    def score_names(queries: Sequence[str]) -> np.ndarray:
        scores = checked(score(queries), (len(queries), len(texts)), where)[:, places]
        scores = scores if np.issubdtype(scores.dtype, np.floating) else scores.astype(np.float64)
        gone = None
        if left_out is not None:
            gone = np.zeros(scores.shape, bool)
            for row, query in enumerate(queries):
                gone[row, left_out(query)] = True
        return name_scores(scores, starts, label_weight, gone)

    def score_targets(queries: Sequence[str]) -> np.ndarray:
        # As few queries at once as keep the scores of all names to the size of the answer.
        rows = max(1, len(queries) * len(starts) // len(places))
        return np.concatenate([score_names(queries[start : start + rows]) for start in range(0, len(queries), rows)])

    return score_targets


def with_name_notes(task: RankingTask) -> RankingTask:
    """Returns the task with notes on the further names of its targets and on the queries that equal one."""
    texts = [text for names in task.names.values() for text in names]
    further = set(map(str.casefold, texts))
    equal = sum(query.casefold() in further for query in task.queries)
    shared = sum(count > 1 for count in Counter(map(str.casefold, (*task.targets, *texts))).values())
    counts = "left out for them" if task.queries_are_names else "which counts"
    notes = [
        f"{len(texts):,} further names of {len(task.names):,} targets",
        *counted(shared, "names of several targets, kept for each"),
        *counted(equal, f"queries equal a further name, {counts}"),
    ]
    return dataclasses.replace(task, notes=(*task.notes, *notes))


def _further_places(task: RankingTask) -> dict[str, list[int]]:
    """Returns the places of each further name, case-folded, among all names of the task in their order."""
    texts, places, starts = task.target_names
    is_label = np.zeros(len(places), bool)
    is_label[starts] = True
    found: dict[str, list[int]] = {}
    for place in np.flatnonzero(~is_label).tolist():
        found.setdefault(texts[places[place]].casefold(), []).append(place)
    return found
