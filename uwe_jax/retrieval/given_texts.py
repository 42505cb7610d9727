"""Scores of given queries with given targets, without an index of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from uwe_jax.config import ScorerSettings
from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.ranking.target_space import TargetSpace
from uwe_jax.retrieval.embedding import Embedder
from uwe_jax.retrieval.explanation import Explanation, attribute, explained
from uwe_jax.retrieval.limits import accepted
from uwe_jax.retrieval.pieces import PieceReader
from uwe_jax.scoring.scorer_text import scorer_text
from uwe_jax.scoring.softmax import TINY
from uwe_jax.scoring.words import Words


def encoded_sides(
    embed: Embedder, queries: str | Iterable[str], targets: str | Iterable[str]
) -> tuple[RaggedTokens, RaggedTokens]:
    """Encodes queries and targets together. Raises UserError: a text is refused, which the error names."""
    sides = accepted(queries, "Query"), accepted(targets, "Target")
    tokens = embed([*sides[0], *sides[1]])
    q, y = tokens.part(0, len(sides[0])), tokens.part(len(sides[0]), len(tokens))
    q.check_scorable("Query")
    y.check_scorable("Target")
    return q, y


def unit_means(tokens: RaggedTokens) -> np.ndarray:
    """Returns the mean of every text's token embeddings, scaled to length 1, float32 [n, d]."""
    means = tokens.pooled().flat
    units: np.ndarray = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), TINY)
    return units


def pair_scores(
    embed: Embedder, scorer: ScorerSettings, queries: Iterable[str], targets: str | Iterable[str]
) -> np.ndarray:
    """Scores every query with every target, float32 [q, n]; see `Ranker.scores`."""
    q, y = encoded_sides(embed, queries, targets)
    return TargetSpace.build(y, scorer, few_shapes=True).scores(q, scorer.temperatures)


def explain_pair(
    embed: Embedder,
    pieces: PieceReader,
    scorer: ScorerSettings,
    pair: tuple[str, str],
    by_word: bool,
    words: Words | None,
    weight: float,
) -> Explanation:
    """Explains the score of a query and a target, with `words` also that of words in common; see `Ranker.explain`."""
    parts = attribute(*encoded_sides(embed, *pair), scorer)
    query, target = accepted(pair, "Text")
    found = explained(pieces(query), pieces(target), parts, scorer_text(scorer, digits=4), by_word=by_word)
    common = {} if words is None else words.parts(query, target)
    return replace(found, words={word: weight * part for word, part in common.items()})


def evaluation_scores(
    embed: Embedder, scorer: ScorerSettings, words: float, targets: Sequence[str], label: str
) -> Callable[[Sequence[str]], np.ndarray]:
    """Encodes n targets, and returns a function of q queries to scores, float32 [q, n]; see `Ranker.index`."""
    space = TargetSpace.build(embed.cached(targets, keep=True, label=label), scorer)
    lexical = Words(targets) if words else None

    def score(queries: Sequence[str]) -> np.ndarray:
        scores = space.scores(embed.cached(queries, keep=False), scorer.temperatures)
        return scores if lexical is None else scores + np.float32(words) * lexical.scores(queries)

    return score
