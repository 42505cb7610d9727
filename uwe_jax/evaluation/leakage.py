"""How much of an evaluation a model was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from uwe_jax.base.errors import UserError
from uwe_jax.data.footprint import Footprint
from uwe_jax.data.tasks.task import RankingTask

# A few equal pairs are chance (a job title that is an ESCO label as well); more than this share of a task's
# query-target edges means that the task itself was trained on.
IN_DOMAIN_SHARE = 0.01


@dataclass(frozen=True)
class Leakage:
    """Counts of a task's queries, targets and query-target edges that stand in a model's training graphs."""

    queries: int
    targets: int
    edges: int
    domain: str  # in-domain or zero-shot

    def to_dict(self) -> dict[str, Any]:
        """As in results.json."""
        return {"queries": self.queries, "targets": self.targets, "edges": self.edges, "domain": self.domain}


def is_in_domain(task: RankingTask, trained_on: Footprint) -> bool:
    """Whether so much of a task was trained on that its score is no zero-shot result.

    Args:
      task: with all its queries; those that were held out from training are of the same domain as the others.
    """
    edges = trained_on.overlap(task.queries, task.targets, task.relevant).edges
    return bool(edges.sum() >= IN_DOMAIN_SHARE * len(edges))


def leakage(task: RankingTask, trained_on: Footprint, *, in_domain: bool) -> Leakage:
    """Counts what the measured queries have in common with training graphs. Texts are equal whatever their case.

    Args:
      task: with the queries that are measured.
      in_domain: of the whole task, see `is_in_domain`.
    """
    found = trained_on.overlap(task.queries, task.targets, task.relevant)
    domain = "in-domain" if in_domain else "zero-shot"
    return Leakage(int(found.queries.sum()), int(found.targets.sum()), int(found.edges.sum()), domain)


def without_leaks(task: RankingTask, footprints: Sequence[Footprint]) -> RankingTask:
    """The task's queries that no model was trained on: neither the query as a node nor one of its edges.

    Raises:
      UserError: nothing is left.
    """
    relevant = task.relevant
    seen = np.zeros(len(task.queries), bool)
    for footprint in footprints:
        found = footprint.overlap(task.queries, task.targets, relevant)
        seen |= found.queries
        rows = np.repeat(np.arange(len(seen)), np.diff(relevant.indptr))
        seen[rows[found.edges]] = True
    if seen.all():
        raise UserError(f"all {len(seen):,} queries stand in training graphs; --drop_leaks leaves none to rank")
    if not seen.any():
        return task
    return task.select(np.flatnonzero(~seen), f"{int(seen.sum()):,} of {len(seen):,} queries were trained on, left out")
