"""Further names of the nodes of a composition."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from uwe_jax.data.decontamination import ExcludedTexts
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.data.node_names import NodeNames
from uwe_jax.runtime.kinds import SKILL
from uwe_jax.runtime.progress import counted
from uwe_jax.sources.mixture.parts import Part
from uwe_jax.sources.notes import noted

# Which nodes of a side the names of a kind belong to, bool [nodes]: some jobs take the place of skills.
Belongs = Mapping[str, np.ndarray]


def with_names(
    graphs: GraphSet,
    parts: Sequence[Part],
    sides: Mapping[str, Belongs],
    joined: Mapping[str, str],
    excluded: ExcludedTexts | None,
) -> tuple[GraphSet, list[str]]:
    """Adds the further names that the parts give to nodes, which they know by their labels.

    Excluded are names that are a query of an evaluation, or that make a pair of one with a neighbour of their node.

    Args:
      graphs: without names.
      parts: any of them may name nodes of all.
      sides: by node kind.
      joined: the label of the skill that a label's skill has joined.
      excluded: texts and pairs of evaluations.

    Returns:
      The graphs, and notes on the numbers of names.
    """
    notes, names = [], {}
    for side, belongs in sides.items():
        names[side], queries = _names_of(graphs.texts[side], parts, belongs, joined, excluded)
        notes += noted(queries, "further name", f"of {side} nodes excluded as queries of an evaluation")
    graphs = dataclasses.replace(graphs, names={side: each for side, each in names.items() if each.texts})
    if excluded is not None and len(excluded.pairs):
        kept = {side: np.ones(len(each.texts), bool) for side, each in graphs.names.items()}
        for side, other, name, node in graphs.name_edges():
            pairs = excluded.edges(graphs.names[side].texts, graphs.texts[other], name, node)
            kept[side][name[pairs]] = False
        for side, keep in kept.items():
            rest = f"of {side} nodes excluded, which with a neighbour would be pairs of an evaluation"
            notes += noted(int((~keep).sum()), "further name", rest)
        names = {side: each.where(kept[side]) for side, each in graphs.names.items()}
        graphs = dataclasses.replace(graphs, names={side: each for side, each in names.items() if each.texts})
    for side, each in graphs.names.items():
        own = len(np.unique(each.owners))
        nodes = counted(len(graphs.texts[side]), f"{side} node")
        notes += noted(len(each.texts), "further name", f"of {own:,} of {nodes}")
    return graphs, notes


def _names_of(
    labels: Sequence[str],
    parts: Sequence[Part],
    belongs: Belongs,
    joined: Mapping[str, str],
    excluded: ExcludedTexts | None,
) -> tuple[NodeNames, int]:
    """Returns the names of the nodes of one side, and the number of those left out as queries."""
    place = {label: node for node, label in enumerate(labels)}
    found: dict[int, set[str]] = {}
    queries: set[tuple[int, str]] = set()
    given = [(kind, each) for part in parts for kind, listed in part.names.items() for each in listed]
    for kind, columns in given:
        nodes = [place.get(joined.get(text, text), -1) for text in columns.left_nodes.texts.to_pylist()]
        names = columns.right_nodes.texts.to_pylist()
        held = np.zeros(len(names), bool) if excluded is None else excluded.nodes(names, kind)
        for left, right in zip(columns.left.tolist(), columns.right.tolist(), strict=True):
            node = nodes[left]
            if node >= 0 and kind in belongs and belongs[kind][node]:
                if held[right]:
                    queries.add((node, names[right]))
                else:
                    found.setdefault(node, set()).add(names[right])
    return NodeNames.of(labels, found), len(queries)


def sides_of(graphs: GraphSet, skills: np.ndarray, jobs: np.ndarray) -> dict[str, Belongs]:
    """Returns what `with_names` takes, of the masks of those left nodes that are skills and those that are jobs."""
    job = {"job": {"job": np.ones(len(graphs.graphs["job"].neighbours), bool)}} if "job" in graphs.graphs else {}
    return {SKILL: {SKILL: skills, "job": jobs}, **job}
