"""Measures how much of an evaluation a model was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from uwe_jax.data.ragged import run_entries, run_offsets
from uwe_jax.data.training_hashes import Overlap, TrainingHashes
from uwe_jax.evaluation.tasks.task import RankingTask
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.notes import noted_of

IN_DOMAIN = "in-domain"
# A few equal pairs are chance (a job title that is an ESCO label as well); a larger share of a task's query-target
# edges means that the task itself was trained on.
IN_DOMAIN_SHARE = 0.01


def is_in_domain(task: RankingTask, trained_on: TrainingHashes) -> bool:
    """Returns whether so much of a task was trained on that its score is not zero-shot.

    Args:
      task: with all its queries; those held out from training belong to the same domain.
    """
    edges = _overlap(task, trained_on).edges
    return bool(edges.sum() >= IN_DOMAIN_SHARE * len(edges))


def _overlap(task: RankingTask, trained_on: TrainingHashes) -> Overlap:
    """Finds a task in training graphs; a target is found, alone or with a query, if any of its texts is."""
    texts, rows, (starts, _) = task.target_names
    counts = np.diff(starts, append=len(rows))
    pairs = task.relevant.indices
    bounds = run_offsets(counts[pairs])
    columns = rows[run_entries(starts[pairs], counts[pairs])]
    named = csr_array(
        (np.ones(len(columns), bool), columns, bounds[task.relevant.indptr]), shape=(len(task.queries), len(texts))
    )
    found = trained_on.overlap(task.queries, texts, named)
    targets = np.logical_or.reduceat(found.targets[rows], starts)
    return Overlap(found.queries, targets, np.logical_or.reduceat(found.edges, bounds[:-1]))


def leakage(task: RankingTask, trained_on: TrainingHashes, *, in_domain: bool) -> dict[str, Any]:
    """Counts `queries`, `targets` and query-target `edges` that are in the training graphs, as in results.json.

    Args:
      task: with the measured queries.
      in_domain: of the whole task, see `is_in_domain`.
    """
    found = _overlap(task, trained_on)
    counts = {part: int(getattr(found, part).sum()) for part in ("queries", "targets", "edges")}
    return {**counts, "domain": IN_DOMAIN if in_domain else "zero-shot"}


def without_leaks(task: RankingTask, all_hashes: Sequence[TrainingHashes]) -> RankingTask:
    """Leaves out the queries that a model was trained on, as a node or by one of their edges.

    Raises:
      UserError: no query is left.
    """
    seen = np.zeros(len(task.queries), bool)
    for hashes in all_hashes:
        found = _overlap(task, hashes)
        # Every query has a relevant target, so no run of edges is empty.
        seen |= found.queries | np.logical_or.reduceat(found.edges, task.relevant.indptr[:-1])
    if seen.all():
        raise UserError(f"all {len(seen):,} queries are in the training graphs; --drop-leaks leaves none to rank")
    if not seen.any():
        return task
    return task.select(np.flatnonzero(~seen), *noted_of(int(seen.sum()), len(seen), "query", "left out as trained on"))
