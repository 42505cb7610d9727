"""What the graphs have in common with the ranking tasks, validation and test halves apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from uwe_jax.curation.describe.section import Grid, Section, percent
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.data.training_hashes import Footprint, held, task_hashes
from uwe_jax.evaluation.leakage import IN_DOMAIN, IN_DOMAIN_SHARE, is_in_domain, leakage
from uwe_jax.evaluation.tasks.spec import TaskSources, TaskSpec
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.progress import progress
from uwe_jax.scoring.statistics import fixed_sample

_EXAMPLES = 5


def measure(graphs: GraphSet, specs: Sequence[TaskSpec], sources: TaskSources) -> dict[str, Any]:
    """Looks every half of every task up in the whole graphs, held-out nodes included.

    Args:
      graphs: that are described.
      specs: of the tasks.
      sources: where their data is looked for.

    Returns:
      tasks: a row per half that is at hand, with its numbers of queries, targets and edges, the kind of its queries,
      its `leakage` as of results.json, some shared_queries, and its edges by_graph; missing: the other halves, with the
      reason.
    """
    parts = {
        kind: Footprint.of(dataclasses.replace(graphs, graphs={kind: graph})) for kind, graph in graphs.graphs.items()
    }
    whole = Footprint.of(graphs)
    halves = [(spec, split) for spec in specs for split in spec.splits]
    tasks, missing = [], []
    for spec, split in progress(halves, label="Looking tasks up", unit=" halves", total=len(halves)):
        try:
            task = spec.load(sources, split)
        except UserError as error:  # data that is broken is another reason why there is nothing to compare with
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
                "shared_queries": [task.queries[shared[k]] for k in fixed_sample(len(shared), _EXAMPLES)],
                "by_graph": {kind: int(held(edges, part.edges).sum()) for kind, part in parts.items()},
            }
        )
    return {"tasks": tasks, "missing": missing}


def section(found: Mapping[str, Any]) -> Section:
    """The overlap as a table, and what there was nothing to compare with."""
    rows = []
    for task in found["tasks"]:
        leaks = task["leakage"]
        cells = [f"{leaks[name]:,} of {task[name]:,}" for name in ("queries", "targets", "edges")]
        graphs = ", ".join(f"{count:,} {kind}" for kind, count in task["by_graph"].items() if count)
        share = percent(leaks["edges"], task["edges"])
        rows.append([task["title"], task["split"], *cells, share, leaks["domain"], graphs])
    header = ("task", "half", "queries", "targets", "edges", "share", "domain", "edges by graph")
    intro = [
        "How many queries, targets and query-target edges stand in the graphs, whatever their case, white space and "
        f"final full stop; whole graphs, with the nodes that a run holds out. {IN_DOMAIN.capitalize()}: "
        f"{100 * IN_DOMAIN_SHARE:g} % or more of the query-target edges."
    ]
    missing = [[each["title"], each["split"], each["reason"]] for each in found["missing"]]
    reasons = Grid(("not at hand", "half", "why"), missing, left=(0, 1, 2), brief=0)
    names = ", ".join(f"{title} ({split})" for title, split, _ in missing)
    notes = [f"Not at hand, so nothing is known of their overlap: {names}."] if missing else []
    return Section("Overlap with ranking tasks", intro, [Grid(header, rows, left=(0, 1, 6, 7)), reasons], notes)
