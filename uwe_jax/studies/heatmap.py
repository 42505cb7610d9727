"""A grid's summary as a picture: differences to the baseline, in colours around zero."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from uwe_jax.evaluation.reference import IN_DOMAIN_MARK
from uwe_jax.runtime.markdown import signed
from uwe_jax.runtime.plot import save_png
from uwe_jax.runtime.printable import printable
from uwe_jax.studies.summary import Summary
from uwe_jax.studies.table import column_title, columns, row_title, status

# A scale narrower than this many points would paint noise in full colours.
_LEAST_SPAN = 1.0
# From this share of the scale on a colour is too dark for black letters.
_DARK = 0.6


def plot_differences(
    summary: Summary, section: str, metric: str, rows: Sequence[str], path: Path, *, title: str, label: str
) -> None:
    """Draws rows by tasks, each cell with its number; what failed or was not measured is hatched.

    The baseline's own scores, in percent, stand over the columns.

    Draws nothing where no row was measured on anything.

    Args:
      section: results or held_out.
      rows: names of those that are drawn.
      title: of the figure.
      label: of the colour scale.
    """
    tasks = columns(summary, section)
    if not tasks or not rows:
        return
    # Imported where something is drawn: it takes a second.
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    found = [[summary["rows"][name][section].get(task, {}).get(metric) for task in tasks] for name in rows]
    values = np.array(
        [
            [np.nan if cell is None or cell["difference"] is None else cell["difference"] for cell in row]
            for row in found
        ]
    ).reshape(len(rows), len(tasks))
    span = max(_LEAST_SPAN, np.nanmax(np.abs(values), initial=0.0, where=~np.isnan(values)))

    figure = Figure(figsize=(3.2 + 1.05 * max(len(tasks), 2), 1.9 + 0.55 * max(len(rows), 1)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(values, cmap="RdBu", vmin=-span, vmax=span, aspect="auto")
    for y, name in enumerate(rows):
        row = summary["rows"][name]
        for x, task in enumerate(tasks):
            value = values[y, x]
            if np.isnan(value):
                axes.add_patch(
                    Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor="0.93", edgecolor="0.7", hatch="///", lw=0)
                )
                text, colour = status(row) or "not measured", "black"
            else:
                mark = IN_DOMAIN_MARK if section == "results" and task in row["in_domain"] else ""
                text, colour = f"{signed(value)}{mark}", "white" if abs(value) > _DARK * span else "black"
            axes.text(x, y, text, ha="center", va="center", color=colour, fontsize=9 if len(text) < 8 else 7)
    baseline = summary["rows"].get(summary["baseline"], {}).get(section, {})
    headings = []
    for task in tasks:
        reference = baseline.get(task, {}).get(metric)
        below = [f"({summary['baseline']} {reference['mean']:.1f})"] if reference else []
        headings.append("\n".join([*textwrap.wrap(printable(column_title(summary, task)), 13), *below]))
    axes.set_xticks(range(len(tasks)), headings, fontsize=8)
    axes.set_yticks(range(len(rows)), [printable(row_title(summary, name)) for name in rows], fontsize=9)
    for written in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        written.set_parse_math(False)
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.set_xticks(np.arange(len(tasks) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(rows) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=2)
    axes.tick_params(which="minor", length=0, top=False)
    figure.suptitle(title, fontsize=11)
    figure.colorbar(image, ax=axes, label=label, shrink=0.9)
    save_png(figure, path)
