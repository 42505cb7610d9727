"""Overlap of the graphs with the ranking tasks, for validation and test halves separately."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from uwe_jax.curation.describe.section import Grid, Section, examples, percent
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.data.training_hashes import TrainingHashes, held, task_hashes
from uwe_jax.evaluation.leakage import IN_DOMAIN, IN_DOMAIN_SHARE, is_in_domain, leakage
from uwe_jax.evaluation.tasks.task import TaskSources, TaskSpec
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.progress import progress


def measure(graphs: GraphSet, specs: Sequence[TaskSpec], sources: TaskSources) -> dict[str, Any]:
    """Looks up every half of every task in the whole graphs, held-out nodes included.

    Returns:
      tasks: a row per half whose data is available, with its numbers of queries, targets and edges, the kind of its
      queries, its `leakage` as of results.json, some shared_queries, and its edges by_graph; missing: the other halves,
      with the reason.
    """
    parts = {
        kind: TrainingHashes.of(dataclasses.replace(graphs, graphs={kind: graph}))
        for kind, graph in graphs.graphs.items()
    }
    whole = TrainingHashes.of(graphs)
    halves = [(spec, split) for spec in specs for split in spec.splits]
    tasks, missing = [], []
    for spec, split in progress(halves, label="Looking tasks up", unit=" halves", total=len(halves)):
        try:
            task = spec.load(sources, split)
        except UserError as error:  # damaged data cannot be compared with either
            missing.append({"title": spec.title, "split": split, "reason": " ".join(str(error).split())})
            continue
        queries, _, edges = task_hashes(task.queries, task.targets, task.relevant)
        shared = np.flatnonzero(held(queries, whole.nodes))
        tasks.append(
            {
                "name": task.name,
                "title": task.title,
                "split": split,
                "query_kind": task.query_kind,
                "origin": task.origin,
                "queries": len(task.queries),
                "targets": len(task.targets),
                "edges": int(task.relevant.nnz),
                "leakage": leakage(task, whole, in_domain=is_in_domain(task, whole)),
                "shared_queries": examples([task.queries[k] for k in shared]),
                "by_graph": {kind: int(held(edges, part.edges).sum()) for kind, part in parts.items()},
            }
        )
    return {"tasks": tasks, "missing": missing}


def section(found: Mapping[str, Any]) -> Section:
    """Renders the overlap, and the tasks whose data was not found."""
    overlaps, graphs = [], []
    for task in found["tasks"]:
        leaks = task["leakage"]
        cells = [f"{leaks[name]:,} of {task[name]:,}" for name in ("queries", "targets", "edges")]
        share = percent(leaks["edges"], task["edges"])
        overlaps.append([task["title"], task["split"], *cells, share, leaks["domain"]])
        if by_graph := ", ".join(f"{count:,} {kind}" for kind, count in task["by_graph"].items() if count):
            graphs.append([task["title"], task["split"], by_graph])
    intro = [
        "Queries, targets and query-target edges that are in the graphs, ignoring case, white space and a final full "
        f"stop; whole graphs, including the nodes that a run holds out. {IN_DOMAIN.capitalize()}: "
        f"{100 * IN_DOMAIN_SHARE:g} % or more of the query-target edges."
    ]
    missing = [[each["title"], each["split"], each["reason"]] for each in found["missing"]]
    names = ", ".join(f"{title} ({split})" for title, split, _ in missing)
    grids = [
        Grid(("task", "half", "queries", "targets", "edges", "share", "domain"), overlaps, left=(0, 1, 6)),
        Grid(("task", "half", "edges by graph"), graphs, left=(0, 1, 2)),
        Grid(("not compared", "half", "reason"), missing, left=(0, 1, 2), page_only=True),
    ]
    return Section(
        "Overlap with ranking tasks", intro, grids, [f"Not compared (data not found): {names}."] * bool(names)
    )
