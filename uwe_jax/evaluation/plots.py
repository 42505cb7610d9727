"""Draws results.png: MAP (else the first metric) of every model on every task, with its 95 % interval."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from uwe_jax.evaluation.aggregate import Results, ResultsView, interval_of, is_in_domain
from uwe_jax.evaluation.reference import metric_title
from uwe_jax.runtime.plot import save_png
from uwe_jax.runtime.printable import printable

# Inches: a bar and its maximum where there are few, a line of a task's label, the gap between tasks.
_BAR, _WIDEST_BAR, _LINE, _GAP = 0.15, 0.3, 0.155, 0.14
# Inches: a letter of the legend, and the space beside its text.
_LETTER, _PATCH = 0.075, 0.6
# With more bars than this the tasks are in two columns.
_LONG_COLUMN = 40
_HATCH = "/////"


def plot(results: Results, path: Path) -> None:
    """Draws a bar for each model and task, hatched where the task is in-domain; at least one result is required."""
    from matplotlib import rc_context

    with rc_context({"text.parse_math": False}):  # a dollar in a name is not a formula
        save_png(_figure(ResultsView(results)), path)


def _figure(view: ResultsView) -> Any:
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    models, tasks, metric = list(view.done), view.names, view.headline[0]
    columns = 2 if len(models) * len(tasks) > _LONG_COLUMN and len(tasks) > 1 else 1
    rows = -(-len(tasks) // columns)
    label_lines = max(_label(view.tasks[task]).count("\n") + 1 for task in tasks)
    block = max(_LINE * label_lines, _BAR * len(models)) + _GAP
    palette = colormaps["tab10" if len(models) <= 10 else "tab20"]
    colours = [palette(place % palette.N) for place in range(len(models))]
    handles = [Patch(facecolor=colour) for colour in colours]
    labels = ["\n".join(textwrap.wrap(printable(name), 30)) for name in models]
    if view.in_domain:
        handles.append(Patch(facecolor="grey", edgecolor="white", hatch=_HATCH, linewidth=0))
        labels.append("in-domain")

    width = 4.2 + 3.8 * columns
    longest = max(len(line) for label in labels for line in label.splitlines())
    legend_columns = min(len(labels), int(width / (_LETTER * longest + _PATCH)))
    legend_lines = -(-len(labels) // legend_columns) * max(label.count("\n") + 1 for label in labels)
    figure = Figure(figsize=(width, 1 + rows * block + 0.2 * legend_lines), dpi=150, layout="constrained")
    for place, axes in enumerate(figure.subplots(1, columns, sharex=True, squeeze=False)[0]):
        thickness = min(_WIDEST_BAR, (block - _GAP) / len(models)) / block
        _draw(axes, view, tasks[place * rows : (place + 1) * rows], colours, thickness)
        axes.set_ylim(rows - 0.5, -0.5)
    figure.legend(handles, labels, loc="outside lower center", ncols=legend_columns, frameon=False, fontsize=9)
    intervals = ", with 95 % intervals" if any(interval_of(found, metric) for found in view.every) else ""
    figure.suptitle(f"{metric_title(metric)}, percent{intervals}", fontsize=11)
    return figure


def _draw(axes: Any, view: ResultsView, tasks: Sequence[str], colours: Sequence[Any], thickness: float) -> None:
    metric = view.headline[0]
    for row, task in enumerate(tasks):
        for place, (done, colour) in enumerate(zip(view.done.values(), colours, strict=True)):
            y = row + (place - (len(colours) - 1) / 2) * thickness
            result = done.get(task)
            if result is None or metric not in result["metrics"]:
                axes.text(0, y, " not measured", va="center", fontsize=7, color="grey")
                continue
            value = result["metrics"][metric]
            low, high = interval_of(result, metric) or (value, value)
            axes.barh(
                y,
                value,
                height=0.92 * thickness,
                color=colour,
                edgecolor="white",
                linewidth=0,
                hatch=_HATCH if is_in_domain(result) else None,
                xerr=[[max(0.0, value - low)], [max(0.0, high - value)]],
                error_kw={"elinewidth": 1, "capsize": 2, "ecolor": "0.25"},
            )
            axes.text(max(value, high), y, f"  {value:.1f}", va="center", fontsize=7)
    axes.set_yticks(range(len(tasks)), [_label(view.tasks[task]) for task in tasks], fontsize=9)
    axes.margins(x=0.1)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _label(task: dict[str, Any]) -> str:
    return "\n".join([*textwrap.wrap(printable(task["title"]), 26), f"{task['queries']:,} queries"])
