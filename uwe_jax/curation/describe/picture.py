"""degrees.png: how many nodes have at least so many edges, both axes logarithmic, a panel for each graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from uwe_jax.curation.describe.degrees import at_least, degrees_of
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.runtime.kinds import SKILL
from uwe_jax.runtime.plot import save_png

_COLOURS = ("#1f5fa8", "#d1701c")
_NAMES = {SKILL: "skills", "job": "job titles", "vacancy": "vacancy sentences", "alias": "aliases"}


def plot_degrees(graphs: GraphSet, path: Path) -> None:
    """Draws the complementary distribution of degrees of both sides of every graph that has an edge."""
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
        axes.set_title(f"{graph.name}: {graph.num_edges:,} edges", fontsize=11)
        axes.set_xlabel("edges of a node")
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
    panels[0].set_ylabel("nodes with at least so many edges")
    figure.suptitle("Degrees, of the nodes that have an edge", fontsize=12)
    save_png(figure, path)
