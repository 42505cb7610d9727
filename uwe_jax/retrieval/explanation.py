"""Explanations of a score by pairs of query and target tokens."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from uwe_jax.retrieval.attribution import Attribution
from uwe_jax.retrieval.pieces import Pieces, joined
from uwe_jax.scoring.softmax import TINY

if TYPE_CHECKING:
    from rich.table import Table

_BEST = 3  # target tokens in a line of a table


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """A score as a sum over pairs of tokens: sum_i shares[i] sum_j weights[i, j] cosines[i, j].

    Two query tokens, each attending to one of two target tokens:

    >>> one = Explanation(("care", "code"), ("caring", "coding"), shares=np.array([0.5, 0.5]), weights=np.eye(2),
    ...                   cosines=np.array([[0.8, 0.1], [0.2, 0.4]]), scorer="max_sim")
    >>> one.contributions.tolist(), round(one.score, 6)
    ([0.4, 0.2], 0.6)

    Attributes:
      query_tokens: i of them, readable; special tokens in brackets, `[start]` and `[end]`.
      target_tokens: j of them.
      shares: [i], the weight of each query token. Equal for `soft` and `max_sim` (1/i where scores are means over
        query tokens, 1 where they are sums), the query's own attention for `soft_pooled`.
      weights: [i, j], attention of query tokens to target tokens; rows sum to 1 for `soft` and `max_sim`. Where a
        scorer takes the mean of a side's tokens, these are the tokens' shares in the direction of that mean.
      cosines: [i, j], of the token embeddings.
      scorer: as `uwe_jax.scoring.scorer_text` writes it, tau_a to four digits.
    """

    query_tokens: tuple[str, ...]
    target_tokens: tuple[str, ...]
    shares: np.ndarray
    weights: np.ndarray
    cosines: np.ndarray
    scorer: str

    @cached_property
    def contributions(self) -> np.ndarray:
        """[i], the terms of the score by query token."""
        return self.shares * (self.weights * self.cosines).sum(axis=1)

    @property
    def score(self) -> float:
        """s(q, y)."""
        return float(self.contributions.sum())

    def to_dict(self) -> dict[str, Any]:
        """Returns all values as lists and numbers, for JSON."""
        tokens = {"query_tokens": list(self.query_tokens), "target_tokens": list(self.target_tokens)}
        arrays = ("shares", "weights", "cosines", "contributions")
        values = {name: getattr(self, name).tolist() for name in arrays}
        return {**tokens, **values, "score": self.score, "scorer": self.scorer}

    def table(self, best: int = _BEST) -> str:
        """Returns a table for a terminal: every query token, its contribution, and the target tokens it attends to.

        Args:
          best: target tokens per line, with their weights and, in brackets, cosines.
        """
        # Imported here: drawing tables takes a while to import, and most uses of a ranker do without.
        from uwe_jax.runtime.text_table import render_table

        return render_table(self._table(best))

    def __repr__(self) -> str:
        return self.table()

    def _repr_html_(self) -> str:
        from uwe_jax.runtime.text_table import html_table

        return html_table(self._table(_BEST))

    def _table(self, best: int) -> Table:
        from rich.table import Table

        lines = Table(title=f"Score {self.score:.4f} by {self.scorer}", title_justify="left")
        lines.add_column("query")
        lines.add_column("adds", justify="right")
        lines.add_column("by attending to: weight (cosine)")
        for token, adds, weights, cosines in zip(
            self.query_tokens, self.contributions, self.weights, self.cosines, strict=True
        ):
            most = [j for j in np.argsort(-weights, kind="stable")[:best] if weights[j] > 0]
            met = ", ".join(f"{self.target_tokens[j]} {weights[j]:.2f} ({cosines[j]:.2f})" for j in most)
            lines.add_row(token, f"{adds:.4f}", met)
        return lines

    def save_picture(self, path: str | Path) -> None:
        """Draws a heat map of the weights, with the cosines in its cells, as a PNG."""
        from uwe_jax.retrieval.explanation_picture import draw

        draw(self, Path(path))


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
