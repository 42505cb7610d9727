"""Scores of given queries with given targets, without an index of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from uwe_jax.config import ScorerSettings
from uwe_jax.ranking.target_space import TargetSpace
from uwe_jax.retrieval.embedding import Embedder
from uwe_jax.retrieval.explanation import Explanation, attribute, explained
from uwe_jax.retrieval.limits import accepted
from uwe_jax.retrieval.pieces import PieceReader
from uwe_jax.scoring.scorer_text import scorer_text
from uwe_jax.scoring.words import Words


def pair_scores(
    embed: Embedder, scorer: ScorerSettings, queries: Iterable[str], targets: str | Iterable[str]
) -> np.ndarray:
    """Scores every query with every target, float32 [q, n]; see `Ranker.scores`."""
    q, y = embed.sides(queries, targets)
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
    parts = attribute(*embed.sides(*pair), scorer)
    query, target = accepted(pair, "Text")
    found = explained(pieces(query), pieces(target), parts, scorer_text(scorer, digits=4), by_word=by_word)
    common = {} if words is None else words.parts(query, target)
    return replace(found, words={word: weight * part for word, part in common.items()})


def evaluation_scores(
    embed: Embedder, scorer: ScorerSettings, words: float, targets: Sequence[str], label: str
) -> Callable[[Sequence[str]], np.ndarray]:
    """Encodes n targets, and returns a function of q queries to scores, float32 [q, n]; see `Ranker.index`."""
    space = TargetSpace.build(embed.cached(targets, targets=True, label=label), scorer)
    lexical = Words(targets) if words else None

    def score(queries: Sequence[str]) -> np.ndarray:
        scores = space.scores(embed.cached(queries, targets=False), scorer.temperatures)
        return scores if lexical is None else scores + np.float32(words) * lexical.scores(queries)

    return score
