"""How many edges nodes have: sizes of the graphs, and the distribution on both of their sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from uwe_jax.curation.describe.section import Grid, Section, listed, percent
from uwe_jax.data.graph import BipartiteGraph
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.runtime.kinds import SKILL

# The least degree of each bin, and its name.
BINS = {1: "1", 2: "2-5", 6: "6-20", 21: "21-100", 101: "101+"}
QUANTILES = (0.25, 0.5, 0.75, 0.9, 0.99)
_TOP, _SHOWN = 10, 5
# The share of nodes whose edges are counted apart, those of the highest degree.
TOP_SHARE = 0.01

Degrees = Int[np.ndarray, " nodes"]


def degrees_of(graph: BipartiteGraph) -> dict[str, Degrees]:
    """Edges of every node by kind, skills first; nodes without an edge have 0."""
    return {SKILL: np.diff(graph.edges.indptr), graph.kind: np.diff(graph.transpose.indptr)}


def sizes(graph: BipartiteGraph) -> dict[str, Any]:
    """Nodes, edges and connected parts of one graph.

    Returns:
      nodes, connected (nodes with an edge), by kind; edges; parts: connected components that hold an edge; largest:
      nodes of the largest one.
    """
    m, n = graph.edges.shape
    pairs = graph.edges.tocoo()
    both = coo_array((np.ones(graph.num_edges, np.int8), (pairs.coords[0], m + pairs.coords[1])), shape=(m + n, m + n))
    _, part = connected_components(both, directed=False)
    members = np.bincount(part)
    held = members[members > 1]  # a node without an edge is a part of its own
    degrees = degrees_of(graph)
    return {
        "nodes": {kind: len(each) for kind, each in degrees.items()},
        "connected": {kind: int(np.count_nonzero(each)) for kind, each in degrees.items()},
        "edges": graph.num_edges,
        "parts": len(held),
        "largest": int(held.max(initial=0)),
    }


def spread(degrees: Degrees, texts: Sequence[str]) -> dict[str, Any]:
    """The distribution of degrees over the nodes that have an edge, of which there must be one.

    Args:
      degrees: of all nodes of one side.
      texts: of these nodes.

    Returns:
      mean; quantiles, by QUANTILES, linearly interpolated; max; bins: nodes by BINS; top: the nodes of most edges;
      top_edges: edges of the TOP_SHARE of nodes (rounded up) that have most.
    """
    connected = np.sort(degrees[degrees > 0])
    places = np.searchsorted(list(BINS), connected, side="right") - 1
    leaders = np.argsort(-degrees, kind="stable")[:_TOP]
    first = -(-len(connected) // round(1 / TOP_SHARE))
    return {
        "mean": float(connected.mean()),
        "quantiles": {f"{q:g}": float(v) for q, v in zip(QUANTILES, np.quantile(connected, QUANTILES), strict=True)},
        "max": int(connected[-1]),
        "bins": dict(zip(BINS.values(), np.bincount(places, minlength=len(BINS)).tolist(), strict=True)),
        "top": [{"text": texts[node], "degree": int(degrees[node])} for node in leaders if degrees[node]],
        "top_edges": int(connected[-first:].sum()),
    }


def at_least(degrees: Degrees) -> tuple[Int[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """The complementary distribution over nodes with an edge: for each degree d that occurs, the share with d or more.

    >>> at_least(np.array([0, 1, 1, 3, 7]))
    (array([1, 3, 7]), array([1.  , 0.5 , 0.25]))
    """
    values, counts = np.unique(degrees[degrees > 0], return_counts=True)
    return values, counts[::-1].cumsum()[::-1] / counts.sum()


def measure(graphs: GraphSet) -> dict[str, Any]:
    """Sizes and spreads by kind of the graph; a spread by kind of the node, none for a graph without an edge."""
    found: dict[str, Any] = {}
    for kind, graph in graphs.graphs.items():
        texts = {SKILL: graph.skills, kind: graph.neighbours}
        spreads = {side: spread(each, texts[side]) for side, each in degrees_of(graph).items() if each.any()}
        found[kind] = {**sizes(graph), "degrees": spreads}
    return found


def sizes_section(found: dict[str, Any], skills: int) -> Section:
    """Nodes and edges as a table.

    Args:
      found: by `measure`.
      skills: of the graph set.
    """
    rows = []
    for kind, graph in found.items():
        asked, others = graph["connected"][SKILL], graph["connected"][kind]
        rows.append(
            [
                f"skill-{kind}",
                f"{graph['edges']:,}",
                f"{asked:,}",
                percent(asked, skills),
                f"{others:,}",
                f"{graph['nodes'][SKILL] - asked + graph['nodes'][kind] - others:,}",
                f"{graph['parts']:,}",
                percent(graph["largest"], asked + others),
            ]
        )
    header = (
        "graph",
        "edges",
        "skills with an edge",
        "of all skills",
        "neighbours with an edge",
        "nodes without",
        "connected parts",
        "nodes in the largest",
    )
    edges = sum(graph["edges"] for graph in found.values())
    nodes = skills + sum(graph["nodes"][kind] for kind, graph in found.items())
    return Section(
        "Nodes and edges",
        [f"{skills:,} skills, {nodes:,} nodes of all kinds, {edges:,} edges."],
        [Grid(header, rows)],
    )


def degrees_section(found: dict[str, Any]) -> Section:
    """Degree distributions as tables."""
    rows, leaders = [], []
    for kind, graph in found.items():
        for side, each in graph["degrees"].items():
            nodes = graph["connected"][side]
            rows.append(
                [
                    f"skill-{kind}",
                    side,
                    f"{each['mean']:.1f}",
                    *(f"{value:,.0f}" for value in each["quantiles"].values()),
                    f"{each['max']:,}",
                    *(percent(count, nodes) for count in each["bins"].values()),
                    percent(each["top_edges"], graph["edges"]),
                ]
            )
            top = (f"{listed([node['text']])} ({node['degree']:,})" for node in each["top"][:_SHOWN])
            leaders.append([f"skill-{kind}", side, ", ".join(top)])
    quantiles = (f"{100 * q:g} %" for q in QUANTILES)
    header = ("graph", "nodes", "mean", *quantiles, "most", *BINS.values(), f"edges of the top {100 * TOP_SHARE:g} %")
    return Section(
        "Degrees",
        [
            "Edges of a node, over the nodes that have one: mean, quantiles, the share of nodes by number of edges, "
            f"and how many of the edges are those of the {100 * TOP_SHARE:g} % of nodes that have most."
        ],
        [Grid(header, rows, left=(0, 1)), Grid(("graph", "nodes", "those of most edges"), leaders, left=(0, 1, 2))],
    )
