"""Degrees of nodes: sizes of the graphs, the distributions on both of their sides, and a picture of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from uwe_jax.curation.describe.section import Grid, Section, listed, percent
from uwe_jax.data.graph import BipartiteGraph
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.runtime.kinds import SKILL
from uwe_jax.runtime.plot import save_png
from uwe_jax.runtime.progress import counted

# The least degree of each bin, and its name.
BINS = {1: "1", 2: "2-5", 6: "6-20", 21: "21-100", 101: "101+"}
QUANTILES = (0.25, 0.5, 0.75, 0.9, 0.99)
_TOP, _SHOWN = 10, 5
# The share of nodes, those of the highest degree, whose edges are counted separately.
TOP_SHARE = 0.01
_COLOURS = ("#1f5fa8", "#d1701c")
_NAMES = {SKILL: "skills", "job": "job titles", "vacancy": "vacancy sentences", "alias": "aliases"}

Degrees = Int[np.ndarray, " nodes"]


def degrees_of(graph: BipartiteGraph) -> dict[str, Degrees]:
    """Returns the degree of every node by kind, skills first."""
    return {SKILL: np.diff(graph.edges.indptr), graph.kind: np.diff(graph.transpose.indptr)}


def spread(degrees: Degrees, texts: Sequence[str]) -> dict[str, Any]:
    """Summarises the degrees of the nodes of one side with an edge, of which there must be at least one.

    Returns:
      mean; quantiles, by QUANTILES, linearly interpolated; max; bins: nodes by BINS; top: the nodes of highest degree;
      top_edges: edges of the TOP_SHARE of nodes (rounded up) of highest degree.
    """
    connected = np.sort(degrees[degrees > 0])
    leaders = np.argsort(-degrees, kind="stable")[:_TOP]
    first = -(-len(connected) // round(1 / TOP_SHARE))
    return {
        "mean": float(connected.mean()),
        "quantiles": {f"{q:g}": float(v) for q, v in zip(QUANTILES, np.quantile(connected, QUANTILES), strict=True)},
        "max": int(connected[-1]),
        "bins": binned(connected, BINS),
        "top": [{"text": texts[node], "degree": int(degrees[node])} for node in leaders if degrees[node]],
        "top_edges": int(connected[-first:].sum()),
    }


def binned(degrees: Degrees, bins: Mapping[int, str]) -> dict[str, int]:
    """Counts nodes by the bin of their degree, by the names of the bins; their least degrees come first.

    >>> binned(np.array([0, 0, 1, 4, 99]), {0: "0", 1: "1-5", 6: "6+"})
    {'0': 2, '1-5': 2, '6+': 1}
    """
    places = np.searchsorted(list(bins), degrees, side="right") - 1
    return dict(zip(bins.values(), np.bincount(places, minlength=len(bins)).tolist(), strict=True))


def at_least(degrees: Degrees) -> tuple[Int[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Returns the complementary distribution over nodes with an edge: degrees d that occur, shares with d or more.

    >>> at_least(np.array([0, 1, 1, 3, 7]))
    (array([1, 3, 7]), array([1.  , 0.5 , 0.25]))
    """
    values, counts = np.unique(degrees[degrees > 0], return_counts=True)
    return values, counts[::-1].cumsum()[::-1] / counts.sum()


def measure(graphs: GraphSet) -> dict[str, Any]:
    """Counts nodes, edges and connected components of every graph.

    Returns:
      By kind of the graph: nodes, connected (nodes with an edge), by kind; edges; parts: connected components with an
      edge; largest: nodes of the largest one; degrees: spreads by kind of the node, where the graph has an edge.
    """
    found: dict[str, Any] = {}
    for kind, graph in graphs.graphs.items():
        m, n = graph.edges.shape
        left, right = graph.edges.tocoo().coords
        both = coo_array((np.ones(graph.num_edges, np.int8), (left, m + right)), shape=(m + n, m + n))
        members = np.bincount(connected_components(both, directed=False)[1])
        members = members[members > 1]  # a node without an edge is a component of its own
        texts, degrees = {SKILL: graph.skills, kind: graph.neighbours}, degrees_of(graph)
        found[kind] = {
            "nodes": {side: len(each) for side, each in degrees.items()},
            "connected": {side: int(np.count_nonzero(each)) for side, each in degrees.items()},
            "edges": graph.num_edges,
            "parts": len(members),
            "largest": int(members.max(initial=0)),
            "degrees": {side: spread(each, texts[side]) for side, each in degrees.items() if each.any()},
        }
    return found


def sizes_section(found: dict[str, Any], skills: int) -> Section:
    """Renders nodes and edges, from `measure` and the number of skills."""
    rows = []
    for kind, graph in found.items():
        used, others = graph["connected"][SKILL], graph["connected"][kind]
        unused = graph["nodes"][SKILL] - used + graph["nodes"][kind] - others
        counts = (f"{graph['edges']:,}", f"{used:,}", percent(used, skills), f"{others:,}", f"{unused:,}")
        largest = percent(graph["largest"], used + others)
        rows.append([f"skill-{kind}", *counts, f"{graph['parts']:,}", largest])
    edges = sum(graph["edges"] for graph in found.values())
    nodes = skills + sum(graph["nodes"][kind] for kind, graph in found.items())
    return Section(
        "Nodes and edges",
        [
            f"{counted(skills, 'skill')}, {counted(nodes, 'node')} of all kinds, {counted(edges, 'edge')}.",
            "By graph: skills and neighbours with an edge, isolated nodes, connected parts, nodes in the largest part.",
        ],
        [Grid(("graph", "edges", "skills", "of all", "neighbours", "isolated", "parts", "largest"), rows)],
    )


def degrees_section(found: dict[str, Any]) -> Section:
    """Renders degree distributions, from `measure`."""
    summaries, bins, leaders = [], [], []
    for kind, graph in found.items():
        for side, each in graph["degrees"].items():
            name = (f"skill-{kind}", side)
            quantiles = (f"{value:,.0f}" for value in each["quantiles"].values())
            summaries.append([*name, f"{each['mean']:.1f}", *quantiles, f"{each['max']:,}"])
            shares = (percent(count, graph["connected"][side]) for count in each["bins"].values())
            bins.append([*name, *shares])
            top = (f"{listed([node['text']])} ({node['degree']:,})" for node in each["top"][:_SHOWN])
            leaders.append([*name, percent(each["top_edges"], graph["edges"]), ", ".join(top)])
    top_share = f"{100 * TOP_SHARE:g} %"
    names = ("graph", "nodes")
    return Section(
        "Degrees",
        [
            "Edges per node, over the nodes with an edge: mean, quantiles, the share of nodes by number of edges, and "
            f"the share of edges that the {top_share} of nodes of highest degree have."
        ],
        [
            Grid((*names, "mean", *(f"{100 * q:g} %" for q in QUANTILES), "most"), summaries, left=(0, 1)),
            Grid((*names, *BINS.values()), bins, left=(0, 1)),
            Grid((*names, f"top {top_share}", "highest degrees"), leaders, left=(0, 1, 3)),
        ],
    )


def plot_degrees(graphs: GraphSet, path: Path) -> None:
    """Draws the complementary distribution of degrees, both axes logarithmic, a panel for each graph with an edge."""
    # Imported where something is drawn: it takes a second.
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

    drawn = [graph for graph in graphs.graphs.values() if graph.num_edges]
    if not drawn:
        return
    figure = Figure(figsize=(1.0 + 4.3 * len(drawn), 4.6), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(drawn), sharey=True, squeeze=False)[0]
    lowest, most = 0.1, 10  # at least a decade of each axis
    for axes, graph in zip(panels, drawn, strict=True):
        for (side, degrees), colour in zip(degrees_of(graph).items(), _COLOURS, strict=True):
            values, shares = at_least(degrees)
            connected = degrees[degrees > 0]
            label = f"{len(connected):,} {_NAMES.get(side, side)}: median {np.median(connected):g}, most {values[-1]:,}"
            # The share with d or more is that of every number of edges above the last degree that occurs.
            axes.step(values, shares, where="pre", color=colour, linewidth=1.6, label=label)
            axes.plot(values[-1], shares[-1], "o", color=colour, markersize=4)
            lowest, most = min(lowest, shares[-1]), max(most, int(values[-1]))
        axes.set(title=f"{graph.name}: {graph.num_edges:,} edges", xlabel="edges per node")
        axes.legend(frameon=False, fontsize=8.5, loc="lower left", bbox_to_anchor=(-0.02, -0.34), borderaxespad=0)
        axes.grid(which="major", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels:
        axes.set(xscale="log", yscale="log", xlim=(0.85, 1.4 * most), ylim=(0.6 * lowest, 1.5))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_minor_locator(NullLocator())
    panels[0].set_ylabel("nodes with at least this many edges")
    figure.suptitle("Degrees of the nodes with an edge", fontsize=12)
    save_png(figure, path)
