"""Ranks targets by all their names, with any ranker, and reports on the names of a task."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from uwe_jax.evaluation.measure import checked
from uwe_jax.evaluation.ranker import Ranker, Score
from uwe_jax.evaluation.tasks.names import TargetNames
from uwe_jax.evaluation.tasks.task import RankingTask
from uwe_jax.runtime.progress import counted
from uwe_jax.scoring.names import NameWeights, name_scores, name_shares
from uwe_jax.sources.notes import noted


class NamesRanker:
    """Ranks the targets of one task by their labels, further names and descriptions; see `name_scores`.

    Everything but `index` is the ranker's own.
    """

    def __init__(self, ranker: Ranker, task: RankingTask, weights: NameWeights):
        self._ranker, self._task, self._weights = ranker, task, weights
        self.name = ranker.name  # of the protocol, which is not looked for in __getattr__

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ranker, name)

    def index(self, targets: Sequence[str]) -> Score:
        """Prepares the names of the task's targets, a name of several targets once; see `Ranker.index`."""
        task, further = self._task, _further_places(self._task)
        return NamesScore(
            self._ranker,
            task.target_names,
            self._weights,
            f"{self._ranker.name} on the names of {task.title}",
            (lambda query: further.get(query.casefold(), [])) if task.queries_are_names else None,
        )


class NamesScore:
    """A function of q queries to the scores [q, n] of targets with names; see `name_scores`.

    Args:
      ranker: scores the names, each distinct one once.
      names: of the targets.
      weights: of the label and the description.
      where: what ranks what, for errors.
      left_out: returns the places, in `names.rows`, of the names that do not count for a query.
    """

    def __init__(
        self,
        ranker: Ranker,
        names: TargetNames,
        weights: NameWeights,
        where: str,
        left_out: Callable[[str], list[int]] | None = None,
    ):
        self._score, self._names, self._weights = ranker.index(names.texts), names, weights
        self._where, self._left_out = where, left_out

    def __call__(self, queries: Sequence[str]) -> np.ndarray:
        """Returns the scores; raises UserError as of `checked`."""
        # As few queries at once as keep the scores of all names to the size of the answer.
        at_once = max(1, len(queries) * len(self._names.places.starts) // len(self._names.rows))
        parts = (self._of_names(queries[start : start + at_once]) for start in range(0, len(queries), at_once))
        of_targets = [name_scores(scores, self._names.places, self._weights, gone) for scores, gone in parts]
        return np.concatenate(of_targets)

    def matched(self, query: str, targets: Sequence[int]) -> list[str]:
        """Returns of each of some targets the name that scores best for a query, be it the label."""
        (scores,), gone = self._of_names([query])
        scores = scores if gone is None else np.where(gone[0], -np.inf, scores)
        texts, rows, places = self._names
        ends = np.append(places.starts[1:], len(rows))
        found = []
        for at in targets:
            own = slice(places.starts[at], ends[at])
            name = name_shares(scores[own], self._weights, places.descriptions_in(own)).matched
            found.append(texts[rows[own.start + name]])
        return found

    def _of_names(self, queries: Sequence[str]) -> tuple[np.ndarray, np.ndarray | None]:
        """Returns the scores of all names, [q, names], and which do not count."""
        shape = len(queries), len(self._names.texts)
        scores = checked(self._score(queries), shape, self._where)[:, self._names.rows]
        scores = scores if np.issubdtype(scores.dtype, np.floating) else scores.astype(np.float64)
        if self._left_out is None:
            return scores, None
        gone = np.zeros(scores.shape, bool)
        for row, query in enumerate(queries):
            gone[row, self._left_out(query)] = True
        return scores, gone


def with_name_notes(task: RankingTask) -> RankingTask:
    """Returns the task with notes on the further names of its targets and on the queries that equal one."""
    texts = [text for names in task.names.values() for text in names]
    further = set(map(str.casefold, texts))
    about = [text for of_target in task.descriptions.values() for text in of_target]
    equal = sum(query.casefold() in further for query in task.queries)
    shared = sum(count > 1 for count in Counter(map(str.casefold, (*task.targets, *texts))).values())
    effect = "which is left out for it" if task.queries_are_names else "which counts"
    notes = [
        *([] if task.several else ["no target with a further name or a description"]),
        *noted(len(texts), "further name", f"of {counted(len(task.names), 'target')}"),
        *noted(len(about), "description", f"of {counted(len(task.descriptions), 'target')}"),
        *noted(shared, "name", "of several targets, kept for each"),
        *noted(equal, "query", f"equal to a further name, {effect}"),
    ]
    return dataclasses.replace(task, notes=(*task.notes, *notes))


def _further_places(task: RankingTask) -> dict[str, list[int]]:
    """Returns the places of each further name or description, case-folded, among all of the task in their order."""
    texts, rows, (starts, _) = task.target_names
    is_label = np.zeros(len(rows), bool)
    is_label[starts] = True
    found: dict[str, list[int]] = {}
    for place in np.flatnonzero(~is_label).tolist():
        found.setdefault(texts[rows[place]].casefold(), []).append(place)
    return found
