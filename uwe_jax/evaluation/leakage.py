"""How much of an evaluation a model was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from uwe_jax.data.training_hashes import Footprint
from uwe_jax.evaluation.tasks.task import RankingTask
from uwe_jax.runtime.errors import UserError

IN_DOMAIN = "in-domain"
# A few equal pairs are chance (a job title that is an ESCO label as well); more than this share of a task's
# query-target edges means that the task itself was trained on.
IN_DOMAIN_SHARE = 0.01


def is_in_domain(task: RankingTask, trained_on: Footprint) -> bool:
    """Whether so much of a task was trained on that its score is no zero-shot result.

    Args:
      task: with all its queries; those that were held out from training are of the same domain as the others.
    """
    edges = trained_on.overlap(task.queries, task.targets, task.relevant).edges
    return bool(edges.sum() >= IN_DOMAIN_SHARE * len(edges))


def leakage(task: RankingTask, trained_on: Footprint, *, in_domain: bool) -> dict[str, Any]:
    """Counts what the measured queries have in common with training graphs. Texts are equal whatever their spelling.

    Args:
      task: with the queries that are measured.
      in_domain: of the whole task, see `is_in_domain`.

    Returns:
      As in results.json: how many `queries`, `targets` and query-target `edges` stand in the graphs, and the `domain`.
    """
    found = trained_on.overlap(task.queries, task.targets, task.relevant)
    counts = {part: int(getattr(found, part).sum()) for part in ("queries", "targets", "edges")}
    return {**counts, "domain": IN_DOMAIN if in_domain else "zero-shot"}


def without_leaks(task: RankingTask, footprints: Sequence[Footprint]) -> RankingTask:
    """The task's queries that no model was trained on: neither the query as a node nor one of its edges.

    Raises:
      UserError: nothing is left.
    """
    seen = np.zeros(len(task.queries), bool)
    for footprint in footprints:
        found = footprint.overlap(task.queries, task.targets, task.relevant)
        # Every query has a relevant target, so no run of edges is empty.
        seen |= found.queries | np.logical_or.reduceat(found.edges, task.relevant.indptr[:-1])
    if seen.all():
        raise UserError(f"all {len(seen):,} queries stand in training graphs; --drop_leaks leaves none to rank")
    if not seen.any():
        return task
    return task.select(np.flatnonzero(~seen), f"{int(seen.sum()):,} of {len(seen):,} queries were trained on, left out")
