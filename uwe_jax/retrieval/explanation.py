"""Explanations of a score by pairs of query and target tokens, for all scorers in one form.

    s(q, y) = sum_i share[i] sum_j weight[i, j] cos(e_i, t_j)

Scorers over tokens have this form: weights are the attention over target tokens (all of it on the best one for MaxSim)
and every query token has the same share. A mean decomposes into its tokens: with ybar the mean of n target tokens,
cos(e_i, ybar) = sum_j |t_j| / (n |ybar|) cos(e_i, t_j), and likewise for the query's.

The sums of one pair of texts are so small that NumPy computes them, with nothing to compile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from rich.table import Table

from uwe_jax.config import ScorerSettings
from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.retrieval.pieces import Pieces, joined
from uwe_jax.retrieval.store.searchable import Hit
from uwe_jax.runtime.plot import save_png
from uwe_jax.runtime.text_table import html_table, render_table
from uwe_jax.scoring.ragged import is_pooled
from uwe_jax.scoring.scorers import target_share
from uwe_jax.scoring.softmax import TINY

_ROUNDING = 2e-3  # of scores whose tokens are stored in float16 or int8; a description changes a target's by more
_BEST, _WIDTH = 3, 80  # target tokens in a row of a table, and characters of its lines
# Inches: of a cell, of the smallest cell, of the margins, and of a side before its cells shrink.
_CELL_WIDTH, _CELL_HEIGHT, _LEAST_CELL, _MARGIN, _LARGEST = 0.75, 0.36, 0.3, 2.6, 16.0
_WRITTEN = 0.42  # inches: narrower cells have no number
_LETTERS = 24  # of a token that are drawn
_DARK = 0.55  # share of the scale from which text is white


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """A score as a sum over pairs of tokens: sum_i shares[i] sum_j weights[i, j] cosines[i, j], and over `words`.

    Two query tokens, each attending to one of two target tokens:

    >>> one = Explanation(("care", "code"), ("caring", "coding"), shares=np.array([0.5, 0.5]), weights=np.eye(2),
    ...                   cosines=np.array([[0.8, 0.1], [0.2, 0.4]]), scorer="max_sim")
    >>> one.contributions.tolist(), round(one.score, 6)
    ([0.4, 0.2], 0.6)

    Attributes:
      query_tokens: i of them, readable; special tokens in brackets, `[start]` and `[end]`.
      target_tokens: j of them.
      shares: [i], the weight of each query token. From the query's side equal for `soft` and `max_sim` (1/i where
        scores are means over query tokens, 1 where they are sums), the query's own attention for `soft_pooled`. From
        the target's side and from both, all attention between the token and the target.
      weights: [i, j], attention of query tokens to target tokens; rows sum to 1 for `soft` and `max_sim`. Where a
        scorer takes the mean of a side's tokens, these are the tokens' shares in the direction of that mean.
      cosines: [i, j], of the token embeddings.
      scorer: as `uwe_jax.scoring.scorer_text` writes it, tau_a to four digits.
      hit: the target whose name is explained: which name, its role, whether it is exact, and the target's own score;
        None where a text is explained.
      rank: its place among the hits of the query, from 1; 0 where it is none of the first 100 or was not looked for.
      of: number of targets that it was ranked among; 0 where its place was not looked for.
      words: what each word of the query adds since the target has it too; empty where rankings are by the model alone.
    """

    query_tokens: tuple[str, ...]
    target_tokens: tuple[str, ...]
    shares: np.ndarray
    weights: np.ndarray
    cosines: np.ndarray
    scorer: str
    hit: Hit | None = None
    words: Mapping[str, float] = field(default_factory=dict)
    rank: int = 0
    of: int = 0

    @cached_property
    def contributions(self) -> np.ndarray:
        """[i], the terms of the model's score by query token."""
        return self.shares * (self.weights * self.cosines).sum(axis=1)

    @property
    def score(self) -> float:
        """s(q, y), of the model and of words in common."""
        return float(self.contributions.sum()) + sum(self.words.values())

    @property
    def _title(self) -> str:
        place = f"number {self.rank:,}" if self.rank else "not among the first 100"
        score = f"Score {self.score:.4f} ({self.scorer})"
        if self.hit is not None and (self.hit.name or abs(self.hit.score - self.score) > _ROUNDING):
            score += f" of {'this name' if self.hit.name else 'the label'}, {self.hit.score:.4f} of the target"
        parts = [score, *([f"{place} of {self.of:,}"] if self.of else [])]
        if self.hit is not None and self.hit.probability is not None:
            parts.append(f"probability {self.hit.probability:.2f}")
        return ", ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Returns all values as lists and numbers, for JSON."""
        tokens = {"query_tokens": list(self.query_tokens), "target_tokens": list(self.target_tokens)}
        arrays = ("shares", "weights", "cosines", "contributions")
        values = {name: getattr(self, name).tolist() for name in arrays}
        words, hit = dict(self.words), self.hit and self.hit.to_dict()
        place = {"rank": self.rank, "of": self.of}
        return {**tokens, **values, "words": words, "score": self.score, "scorer": self.scorer, "hit": hit, **place}

    def table(self, best: int = _BEST) -> str:
        """Returns a table for a terminal: every query token, its contribution, and the target tokens it attends to.

        Args:
          best: target tokens per line, with their weights and, in brackets, cosines.
        """
        return render_table(self._table(best), _WIDTH)

    def __repr__(self) -> str:
        return self.table()

    def _repr_html_(self) -> str:
        return html_table(self._table(_BEST))

    def _table(self, best: int) -> Table:
        lines = Table(title=self._title)
        lines.add_column("query", overflow="fold")
        lines.add_column("adds", justify="right", no_wrap=True)
        lines.add_column("by attending to: weight (cosine)", overflow="fold")
        for token, adds, weights, cosines in zip(
            self.query_tokens, self.contributions, self.weights, self.cosines, strict=True
        ):
            most = [j for j in np.argsort(-weights, kind="stable")[:best] if weights[j] > 0]
            met = ", ".join(f"{self.target_tokens[j]} {weights[j]:.2f} ({cosines[j]:.2f})" for j in most)
            lines.add_row(token, f"{adds:.4f}", met)
        if self.words:
            each = ", ".join(f"{word} {adds:.4f}" for word, adds in self.words.items())
            lines.add_section()
            lines.add_row("words in common", f"{sum(self.words.values()):.4f}", each)
        return lines

    def save_picture(self, path: str | Path) -> None:
        """Draws a heat map as a PNG: colours are weights, numbers in cells cosines, bars contributions."""
        # Imported on use: it takes a second.
        from matplotlib.figure import Figure

        rows, columns = self.weights.shape
        width, height = (
            max(_LEAST_CELL, min(cell, _LARGEST / number))
            for cell, number in ((_CELL_WIDTH, columns), (_CELL_HEIGHT, rows))
        )
        figure = Figure(figsize=(2 * _MARGIN + width * columns, _MARGIN + height * rows), dpi=110, layout="constrained")
        cells, bars = figure.subplots(1, 2, sharey=True, width_ratios=(width * columns + 0.5, 1.6))
        _draw_cells(figure, cells, self, numbers=width >= _WRITTEN)
        _draw_bars(bars, self)
        figure.suptitle(self._title, fontsize=11, parse_math=False)
        save_png(figure, Path(path))


class Attribution(NamedTuple):
    """Shares [i], weights [i, j] and cosines [i, j] of one score, float32."""

    shares: Float[np.ndarray, " i"]
    weights: Float[np.ndarray, "i j"]
    cosines: Float[np.ndarray, "i j"]


def explained(query: Pieces, target: Pieces, parts: Attribution, scorer: str, *, by_word: bool) -> Explanation:
    """Returns the explanation of a score by subword tokens, or by words, which changes no sum.

    Shares and weights of a word's tokens are added; a weight is averaged over query tokens by their shares, a cosine
    over pairs of tokens by the products of share and weight.
    """
    if not by_word:
        return Explanation(query.texts, target.texts, *parts, scorer)
    by_query, by_target = _groups(query), _groups(target)
    shares = by_query @ parts.shares
    pairs = parts.shares[:, None] * parts.weights
    counts = by_query @ pairs @ by_target.T
    # Pairs of weight 0, as all but one of MaxSim's, still have a cosine to show.
    filled = pairs + TINY
    cosines = (by_query @ (filled * parts.cosines) @ by_target.T) / (by_query @ filled @ by_target.T)
    weights = counts / np.maximum(shares, TINY)[:, None]
    return Explanation(joined(query), joined(target), shares, weights, cosines, scorer)


def _groups(found: Pieces) -> np.ndarray:
    """Returns the membership of tokens [t] in words [w] as zeros and ones, float64 [w, t]."""
    words = np.array(found.words)
    return (np.unique(words)[:, None] == words[None, :]).astype(np.float64)


def attribute(query: RaggedTokens, target: RaggedTokens, scorer: ScorerSettings) -> Attribution:
    """Decomposes the score of a query and a target.

    Args:
      query: raw token embeddings of one text of i tokens.
      target: raw token embeddings of one text of j tokens.
      scorer: with the attention temperatures to use.
    """
    cosines = _unit(query.flat)[0] @ _unit(target.flat)[0].T
    share = target_share(scorer)
    if share == 0:
        return Attribution(*_one_side(query, target, cosines, scorer.tau_a, scorer), cosines)
    shares, weights = _one_side(target, query, cosines.T, scorer.target_tau_a, scorer)
    pairs = share * (shares[:, None] * weights).T
    if share < 1:
        shares, weights = _one_side(query, target, cosines, scorer.tau_a, scorer)
        pairs += (1 - share) * shares[:, None] * weights
    # Pairs of both sides, read from the query: a query token's share is what its pairs have in total.
    shares = pairs.sum(axis=1)
    return Attribution(shares, pairs / np.maximum(shares, TINY)[:, None], cosines)


def _one_side(
    query: RaggedTokens, target: RaggedTokens, cosines: np.ndarray, tau_a: float, scorer: ScorerSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Returns shares [i] and weights [i, j] of the score from the query's side."""
    (q, q_norms), (_, y_norms) = _unit(query.flat), _unit(target.flat)
    if is_pooled(scorer.kind, query=False):
        weights = np.broadcast_to(_mean_shares(target), cosines.shape)
    elif scorer.kind == "max_sim":
        weights = np.eye(cosines.shape[1], dtype=np.float32)[cosines.argmax(axis=1)]
    else:
        weights = _attention(cosines, q_norms[:, None] * y_norms, tau_a, scorer.logits)
    if scorer.kind == "mean_pool":
        shares = _mean_shares(query)
    elif scorer.kind == "soft_pooled":
        mean, norm = _unit(target.pooled().flat)
        shares = _attention((q @ mean.T)[:, 0], q_norms * norm, tau_a, scorer.logits)
    else:
        shares = np.full(len(q), 1 / len(q) if scorer.reduce == "mean" else 1, np.float32)
    return shares, weights


def _unit(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns unit vectors [t, d] and norms [t], float32."""
    wide = tokens.astype(np.float32)
    norms = np.linalg.norm(wide, axis=1)
    return wide / np.maximum(norms, TINY)[:, None], norms


def _attention(cosines: np.ndarray, norms: np.ndarray, tau_a: float, logits: str) -> np.ndarray:
    """Returns the softmax weights of the scorer's logits over the last axis; `norms` are products of both sides'."""
    scaled = (cosines if logits == "cosine" else cosines * norms) / tau_a
    weights = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def _mean_shares(side: RaggedTokens) -> np.ndarray:
    """Returns |t_j| / (n |mean|), the share of each token's direction in that of the mean."""
    (_, norms), (_, norm) = _unit(side.flat), _unit(side.pooled().flat)
    return norms / (len(norms) * np.maximum(norm, TINY))


def _draw_cells(figure: Any, axes: Any, explanation: Explanation, *, numbers: bool) -> None:
    weights, cosines = explanation.weights, explanation.cosines
    top = float(max(weights.max(), 1e-6))
    image = axes.imshow(weights, cmap="Blues", vmin=0.0, vmax=top, aspect="auto")
    if numbers:
        for (i, j), cosine in np.ndenumerate(cosines):
            colour = "white" if weights[i, j] > _DARK * top else "black"
            number = f"{cosine:.2f}".replace("-0.00", "0.00")
            axes.text(j, i, number, ha="center", va="center", fontsize=7, color=colour)
    axes.xaxis.tick_top()
    axes.set_xticks(range(weights.shape[1]), [*map(_shown, explanation.target_tokens)], rotation=45, ha="left")
    axes.set_yticks(range(weights.shape[0]), [*map(_shown, explanation.query_tokens)])
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
