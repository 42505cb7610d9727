"""Writes figures as PNG files, among them training.png."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

from uwe_jax.runtime.files import write_atomically


def save_png(figure: Any, path: Path) -> None:
    """Writes a `matplotlib.figure.Figure` atomically, without pyplot, which would look for a screen."""
    # Imported here: matplotlib takes a second, and most commands draw nothing.
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    write_atomically(path, buffer.getvalue())


def plot_training(rows: list[dict[str, Any]], path: Path) -> None:
    """Plots the rows of metrics.jsonl: the loss on the left, MAP by direction on the right."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    steps = [row["step"] for row in rows if "loss" in row]
    left.plot(steps, [row["loss"] for row in rows if "loss" in row], color="black", label="all graphs")
    for name in sorted({name for row in rows for name in row if name.startswith("loss/")}):
        points = [(row["step"], row[name]) for row in rows if name in row]
        left.plot(*zip(*points, strict=True), alpha=0.6, label=f"skill-{name.removeprefix('loss/')}")
    left.set(xlabel="step", ylabel="loss", title="Many-to-many InfoNCE")
    if steps:
        left.legend(frameon=False)

    validations = [(row["step"], row["validation"]) for row in rows if "validation" in row]
    names = [name for name, value in validations[0][1].items() if isinstance(value, dict)] if validations else []
    for name in names:
        right.plot(
            [step for step, _ in validations],
            [results.get(name, {}).get("map", math.nan) for _, results in validations],
            marker=".",
            alpha=0.6,
            label=name.replace("_", " "),
        )
    if validations:
        macro = [results.get("macro_map", math.nan) for _, results in validations]
        right.plot([step for step, _ in validations], macro, color="black", marker="o", label="macro")
        right.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    right.set(xlabel="step", ylabel="MAP, percent", title="Held-out nodes (validation)")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    save_png(figure, path)
