"""What of the evaluation must not be trained on: the queries and relevant pairs of held-out halves of its tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from uwe_jax.data.training_hashes import held, pair_hashes, task_hashes, text_hashes
from uwe_jax.evaluation.tasks.catalogue import CATALOGUE
from uwe_jax.evaluation.tasks.spec import TaskDataMissing, TaskSources
from uwe_jax.runtime.kinds import SKILL

# Tasks whose halves are the labels and relations of ESCO itself. Who names ESCO's own graphs in a configuration trains
# on them, and the evaluation calls the result in-domain; there is nothing that could be kept out of the other sources.
_TAXONOMY = {("job_to_skill", "test"), ("skill_to_job", "test")} | {
    ("skill_normalisation", half) for half in ("validation", "test")
}


@dataclass(frozen=True, eq=False)
class KeptOut:
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


def read_kept_out(folders: Sequence[Path], halves: Sequence[str], cache_dir: Path) -> KeptOut:
    """Reads the halves of all tasks that folders of downloads hold. The hub is not asked.

    Tasks that are ESCO itself, and those that their publisher does not split, have no half that could be kept out.

    Args:
      folders: of the downloads, searched in this order.
      halves: of test and validation.
      cache_dir: where datasets prepared from the hub are.

    Raises:
      UserError: one of the folders is none, or a task's data is there and broken.
    """
    queries: dict[str, list[np.ndarray]] = {}
    pairs: list[np.ndarray] = []
    found, missing = [], []
    wanted = [(spec, half) for spec in CATALOGUE.values() for half in halves if half in spec.splits]
    wanted = [(spec, half) for spec, half in wanted if (spec.name, half) not in _TAXONOMY]
    sources = TaskSources(tuple(folders), cache_dir, offline=True)
    for spec, half in wanted:
        name = f"{spec.title} ({half})"
        try:
            task = spec.load(sources, half)
        except TaskDataMissing:
            missing.append(name)
            continue
        found.append(name)
        q, _, related = task_hashes(task.queries, task.targets, task.relevant)
        pairs.append(related)
        if task.query_kind != SKILL:
            queries.setdefault(task.query_kind, []).append(q)
    return KeptOut(
        {kind: np.unique(np.concatenate(hashes)) for kind, hashes in queries.items()},
        np.unique(np.concatenate(pairs)) if pairs else np.empty(0, np.uint64),
        tuple(found),
        tuple(missing),
    )
