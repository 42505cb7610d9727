"""Further titles of a job: each becomes a job of its own, with the skills of the one it is a title of."""

from __future__ import annotations

import numpy as np

from uwe_jax.data.composition.columns import EdgeColumns, NodeNumbers
from uwe_jax.data.ragged import run_entries


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
    numbers = NodeNumbers()
    own = numbers.add_all(jobs.right_nodes)
    further = numbers.add_all(titles.right_nodes)

    # The titles of each job in `jobs`, one job's after another's.
    job_of_id = {job_id: place for place, job_id in enumerate(jobs.right_nodes.ids)}
    place = np.array([job_of_id.get(job_id, -1) for job_id in titles.left_nodes.ids], np.int32)
    job = place[titles.left]
    order = np.argsort(job, kind="stable")
    order = order[np.searchsorted(job[order], 0) :]
    counts = np.bincount(job[order], minlength=len(jobs.right_nodes))
    starts = np.cumsum(counts) - counts

    # Every edge once per title of its job.
    repeats = counts[jobs.right]
    edge = np.repeat(np.arange(len(jobs)), repeats)
    title = order[run_entries(starts[jobs.right], repeats)]
    relation = jobs.relation[edge] * len(titles.relations) + titles.relation[title]
    weights = None if jobs.weights is None else np.concatenate([jobs.weights, jobs.weights[edge]])
    return EdgeColumns(
        jobs.left_nodes,
        numbers.nodes(),
        np.concatenate([jobs.left, jobs.left[edge]]),
        np.concatenate([own[jobs.right], further[titles.right[title]]]),
        np.concatenate([jobs.relation, len(jobs.relations) + relation]),
        (*jobs.relations, *(f"{one}, {other}".strip(", ") for one in jobs.relations for other in titles.relations)),
        weights,
    )
