"""Measures a ranker's scores as a classification: every target is a label, predicted from a threshold on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from uwe_jax.evaluation.measure import scored
from uwe_jax.evaluation.options import VALIDATION, parse_threshold
from uwe_jax.evaluation.ranker import Ranker, Score
from uwe_jax.evaluation.run_file import RunOfTask
from uwe_jax.evaluation.tasks.catalogue import load_tasks
from uwe_jax.evaluation.tasks.languages import Pair
from uwe_jax.evaluation.tasks.task import RankingTask, TaskSources, TaskSpec
from uwe_jax.runtime.errors import UserError
from uwe_jax.scoring.classification import best_threshold, classification


class Classifier:
    """Classifies tasks at a threshold.

    Args:
      classify: a number, or `VALIDATION`.
      specs, sources, languages: of the evaluation, for reading the validation split of its tasks.
    """

    def __init__(self, classify: str, specs: Sequence[TaskSpec], sources: TaskSources, languages: Sequence[Pair]):
        self._threshold = parse_threshold(classify)
        self._validation: dict[str, RankingTask] = {}
        self._missing: Mapping[str, str] = {}
        if self._threshold is None:
            found, missing = load_tasks(specs, sources, VALIDATION, languages)
            self._validation = {task.name: task for task in found if task.split == VALIDATION}
            self._missing = {each.task: each.reason for each in missing}

    def measure(
        self,
        ranker: Ranker,
        score: Score,
        task: RankingTask,
        samples: int,
        ranker_of: Callable[[RankingTask], Ranker],
    ) -> dict[str, Any]:
        """Returns `classification` of results.json.

        Args:
          ranker: for the task.
          score: of the task's targets.
          ranker_of: returns the ranker for another task, as targets with several names are ranked by their own.

        Raises:
          UserError: there is no validation split to take the threshold from, or as of `checked`.
        """
        threshold = self._threshold
        if threshold is None and isinstance(ranker, RunOfTask):
            raise UserError(
                f"{task.title} is not classified: a run has no scores of the validation split. Give a number."
            )
        if threshold is None:
            other = self._validation.get(task.name)
            if other is None:
                reason = self._missing.get(task.name, "it is not split")
                raise UserError(f"{task.title} is not classified, as it has no validation split: {reason}")
            same = all(getattr(other, each) == getattr(task, each) for each in ("targets", "names", "descriptions"))
            of_other = score if same else ranker_of(other).index(other.targets)
            threshold = best_threshold(*_whole(of_other, other, ranker.name))
        return classification(*_whole(score, task, ranker.name), threshold, samples=samples)


def _whole(score: Score, task: RankingTask, name: str) -> tuple[np.ndarray, Any]:
    """Returns all scores [q, n] and the relevant pairs as 1; graded ones from the task's threshold on."""
    chunks = scored(score, task.queries, len(task.targets), f"{name} on {task.title}")
    counted = task.relevant.data >= (1 if task.grades is None else task.threshold)
    relevant = task.relevant.astype(np.int64)
    relevant.data = counted.astype(np.int64)
    relevant.eliminate_zeros()
    return np.concatenate([*chunks]), relevant
