"""Joins nodes of several sources: skills by their aliases, and the further titles of jobs with the jobs' skills."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from uwe_jax.data.graph import Edge
from uwe_jax.data.ragged import run_entries
from uwe_jax.sources.mixture.columns import TEXT, EdgeColumns, Nodes, columns_of, distinct, joined


def joined_by_alias(skills: Sequence[str], left: np.ndarray, aliases: Sequence[str], right: np.ndarray) -> np.ndarray:
    """Returns the skill that each skill joins, int32 [skills].

    A skill without aliases joins the skill that has its text as label or alias, ignoring case, if exactly one has.

    >>> joined_by_alias(["Python", "Python (programming)", "python"], np.array([1]), ["Python"], np.array([0])).tolist()
    [1, 1, 1]

    Args:
      skills: texts.
      left: int [e], positions of skills.
      aliases: texts.
      right: int [e], positions of the alias of each of `left`.
    """
    named = np.unique(left)
    owners: dict[str, set[int]] = {}
    for skill in named.tolist():
        owners.setdefault(skills[skill].casefold(), set()).add(skill)
    folded = [text.casefold() for text in aliases]
    for skill, alias in zip(left.tolist(), right.tolist(), strict=True):
        owners.setdefault(folded[alias], set()).add(skill)
    becomes = np.arange(len(skills), dtype=np.int32)
    for skill in np.setdiff1d(becomes, named).tolist():
        found = owners.get(skills[skill].casefold(), ())
        if len(found) == 1:
            (becomes[skill],) = found
    return becomes


def joined_by_id(edges: Mapping[str, EdgeColumns], side: str) -> tuple[dict[str, EdgeColumns], list[EdgeColumns]]:
    """Joins the texts that have one id: the text of its first row is the label, the others are further names.

    Args:
      edges: by any key; rows are in this order.
      side: left or right.

    Returns:
      The edges, with labels alone, and edges from each label to its further names; no columns where there is none.
    """
    label: dict[str, str] = {}
    names: dict[tuple[str, str], Edge] = {}
    joined_edges = {}
    for key, columns in edges.items():
        nodes, ends = getattr(columns, f"{side}_nodes"), getattr(columns, side)
        ids = [None] * len(nodes) if nodes.ids is None else nodes.ids.to_pylist()
        texts = nodes.texts.to_pylist()
        used, first = np.unique(ends, return_index=True)
        for node in used[np.argsort(first)].tolist():
            own = label.setdefault(ids[node] or texts[node], texts[node])
            if texts[node] != own:
                names[own, texts[node]] = Edge("", own, "", texts[node])
                texts[node] = own
        labelled = Nodes(pa.array(texts, TEXT), nodes.ids)
        left, right = (labelled, columns.right_nodes) if side == "left" else (columns.left_nodes, labelled)
        joined_edges[key] = dataclasses.replace(columns, left_nodes=left, right_nodes=right)
    return joined_edges, [columns_of("alias", names.values())] if names else []


def with_titles(jobs: EdgeColumns, titles: EdgeColumns) -> EdgeColumns:
    """Adds every further title of a job to a skill-job graph, as a job with the skills of the one it is a title of.

    A title of several jobs has the skills of all. Jobs are identified by their ids, as two may have one name.

    Args:
      jobs: a graph with jobs on its right side.
      titles: of the same source; with jobs on its left and further titles of them on its right side.

    Returns:
      The edges of `jobs`, then those of the titles; their relation is that of the job's edge followed by that of the
      title, as in "essential, alternative".
    """
    ids, number = distinct(pa.concat_arrays([jobs.right_nodes.known_ids(), titles.left_nodes.known_ids()]))
    own, named = np.split(number, [len(jobs.right_nodes)])

    # The titles, job by job.
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
