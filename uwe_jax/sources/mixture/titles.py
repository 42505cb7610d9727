"""Further titles of a job: each becomes a job of its own, with the skills of the one it is a title of."""

from __future__ import annotations

import numpy as np

from uwe_jax.data.ragged import run_entries
from uwe_jax.sources.mixture.columns import EdgeColumns, Nodes


def with_titles(jobs: EdgeColumns, titles: EdgeColumns) -> EdgeColumns:
    """A skill-job graph with every further title of its jobs beside them.

    A title of several jobs has the skills of all. Jobs are told apart by their ids, as two may have one name.

    Args:
      jobs: a graph whose right side are jobs.
      titles: of the same source; on its left jobs, on its right further titles of them.

    Returns:
      The edges of `jobs`, then those of the titles; the relation of these is that of the job's edge with that of the
      title behind it, as in "essential, alternative".
    """
    numbers: dict[str, int] = {}
    own = np.array([numbers.setdefault(job_id, len(numbers)) for job_id in jobs.right_nodes.ids], np.int32)
    named = np.array([numbers.get(job_id, -1) for job_id in titles.left_nodes.ids], np.int32)

    # The titles of each job in `jobs`, one job's after another's.
    job = named[titles.left]
    order = np.argsort(job, kind="stable")
    order = order[np.searchsorted(job[order], 0) :]
    counts = np.bincount(job[order], minlength=len(numbers))
    starts = np.cumsum(counts) - counts

    # Every edge once per title of its job.
    job = own[jobs.right]
    repeats = counts[job]
    edge = np.repeat(np.arange(len(jobs)), repeats)
    title = order[run_entries(starts[job], repeats)]
    relation = jobs.relation[edge] * len(titles.relations) + titles.relation[title]
    weights = None if jobs.weights is None else np.concatenate([jobs.weights, jobs.weights[edge]])
    return EdgeColumns(
        jobs.left_nodes,
        Nodes(jobs.right_nodes.texts + titles.right_nodes.texts, jobs.right_nodes.ids + titles.right_nodes.ids),
        np.concatenate([jobs.left, jobs.left[edge]]),
        np.concatenate([jobs.right, len(jobs.right_nodes) + titles.right[title]]),
        np.concatenate([jobs.relation, len(jobs.relations) + relation]),
        (*jobs.relations, *(f"{one}, {other}".strip(", ") for one in jobs.relations for other in titles.relations)),
        weights,
    )
