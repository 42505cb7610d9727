"""Draws a grid's summary: differences to the baseline, in colours around zero."""

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

_LEAST_SPAN = 1.0  # points; a narrower scale would show noise in full colours
_DARK = 0.6  # from this share of the scale on, text is white


def plot_differences(
    summary: Summary, section: str, metric: str, rows: Sequence[str], path: Path, *, title: str, label: str
) -> None:
    """Draws rows by tasks, each cell with its number; cells that failed or were not measured are hatched.

    The baseline's own scores, in percent, are above the columns. Draws nothing if there is no result at all.
    """
    tasks = columns(summary, section)
    if not tasks or not rows:
        return
    # Imported here because it takes a second.
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    sections = [summary["rows"][name][section] for name in rows]
    found = [[row.get(task, {}).get(metric, {}).get("difference") for task in tasks] for row in sections]
    values = np.array(found, float)  # NaN for None
    span = max(_LEAST_SPAN, np.nanmax(np.abs(values), initial=0.0, where=~np.isnan(values)))

    figure = Figure(figsize=(3.2 + 1.05 * max(len(tasks), 2), 1.9 + 0.55 * len(rows)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(values, cmap="RdBu", vmin=-span, vmax=span, aspect="auto")
    for y, name in enumerate(rows):
        row = summary["rows"][name]
        for x, task in enumerate(tasks):
            value = values[y, x]
            if np.isnan(value):
                box = Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor="0.93", edgecolor="0.7", hatch="///", lw=0)
                axes.add_patch(box)
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
