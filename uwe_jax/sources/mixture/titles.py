"""Further titles of a job: each becomes a job of its own, with the skills of the one it is a title of."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from uwe_jax.data.ragged import run_entries
from uwe_jax.sources.mixture.columns import EdgeColumns, distinct, joined


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
    ids, number = distinct(pa.concat_arrays([jobs.right_nodes.known_ids(), titles.left_nodes.known_ids()]))
    own, named = np.split(number, [len(jobs.right_nodes)])

    # The titles of each job, one job's after another's.
    job = named[titles.left]
    order = np.argsort(job, kind="stable")
    counts = np.bincount(job, minlength=len(ids))
    starts = np.cumsum(counts) - counts

    # Every edge once per title of its job.
    job = own[jobs.right]
    repeats = counts[job]
    edge = np.repeat(np.arange(len(jobs)), repeats)
    title = order[run_entries(starts[job], repeats)]
    relation = jobs.relation[edge].astype(np.int32) * len(titles.relations) + titles.relation[title]
    return EdgeColumns(
        jobs.left_nodes,
        joined([jobs.right_nodes, titles.right_nodes]),
        np.concatenate([jobs.left, jobs.left[edge]]),
        np.concatenate([jobs.right, len(jobs.right_nodes) + titles.right[title]]),
        np.concatenate([jobs.relation, len(jobs.relations) + relation]),
        (*jobs.relations, *(f"{one}, {other}".strip(", ") for one in jobs.relations for other in titles.relations)),
    )
