"""Heat map of an explanation: rows are query tokens, columns target tokens, and bars contributions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from uwe_jax.runtime.plot import save_png

if TYPE_CHECKING:
    from uwe_jax.retrieval.explanation import Explanation

# Inches: of a cell, of the smallest cell, of the margins, and of a side before its cells shrink.
_CELL_WIDTH, _CELL_HEIGHT, _LEAST_CELL, _MARGIN, _LARGEST = 0.75, 0.36, 0.3, 2.6, 16.0
_WRITTEN = 0.42  # inches: narrower cells have no number
_LETTERS = 24  # of a token that are drawn
_DARK = 0.55  # share of the scale from which text is white


def draw(explanation: Explanation, path: Path) -> None:
    """Draws an explanation: colours are weights, numbers in cells cosines, bars contributions."""
    # Imported on use: it takes a second.
    from matplotlib.figure import Figure

    rows, columns = explanation.weights.shape
    width, height = (
        max(_LEAST_CELL, min(cell, _LARGEST / number))
        for cell, number in ((_CELL_WIDTH, columns), (_CELL_HEIGHT, rows))
    )
    figure = Figure(figsize=(2 * _MARGIN + width * columns, _MARGIN + height * rows), dpi=110, layout="constrained")
    cells, bars = figure.subplots(1, 2, sharey=True, width_ratios=(width * columns + 0.5, 1.6))
    _draw_cells(figure, cells, explanation, numbers=width >= _WRITTEN)
    _draw_bars(bars, explanation)
    figure.suptitle(f"Score {explanation.score:.4f} by {explanation.scorer}", fontsize=11, parse_math=False)
    save_png(figure, path)


def _draw_cells(figure: Any, axes: Any, explanation: Explanation, *, numbers: bool) -> None:
    weights, cosines = explanation.weights, explanation.cosines
    top = float(max(weights.max(), 1e-6))
    image = axes.imshow(weights, cmap="Blues", vmin=0.0, vmax=top, aspect="auto")
    if numbers:
        for (i, j), cosine in np.ndenumerate(cosines):
            colour = "white" if weights[i, j] > _DARK * top else "black"
            axes.text(
                j, i, f"{cosine:.2f}".replace("-0.00", "0.00"), ha="center", va="center", fontsize=7, color=colour
            )
    axes.xaxis.tick_top()
    axes.set_xticks(
        range(weights.shape[1]), [_shown(token) for token in explanation.target_tokens], rotation=45, ha="left"
    )
    axes.set_yticks(range(weights.shape[0]), [_shown(token) for token in explanation.query_tokens])
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set_parse_math(False)
        if label.get_text().startswith("["):
            label.set(color="grey", style="italic")
    axes.tick_params(length=0, labelsize=8)
    axes.spines[:].set_visible(False)
    axes.set(xlabel="target", ylabel="query")
    label = "weight (colour) and cosine (number)" if numbers else "weight"
    figure.colorbar(image, ax=axes, label=label, location="bottom", shrink=0.6, aspect=40)


def _draw_bars(axes: Any, explanation: Explanation) -> None:
    contributions = explanation.contributions
    colours = ["tab:blue" if value >= 0 else "tab:red" for value in contributions]
    axes.barh(range(len(contributions)), contributions, color=colours, height=0.7)
    axes.axvline(0, color="0.4", linewidth=0.8)
    axes.set_xlabel("adds to the score", fontsize=8)
    axes.tick_params(axis="y", length=0, labelleft=False)
    axes.tick_params(axis="x", labelsize=7)
    axes.locator_params(axis="x", nbins=3)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _shown(token: str) -> str:
    """Returns a token for drawing: truncated, with a box for each letter that the font lacks."""
    from matplotlib.font_manager import findfont, get_font

    font = get_font(findfont("DejaVu Sans"))
    cut = token if len(token) <= _LETTERS else f"{token[: _LETTERS - 1]}…"
    return "".join(letter if font.get_char_index(ord(letter)) else "□" for letter in cut)
