"""Scores of given queries with given targets, without an index of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from uwe_jax.config import ScorerSettings
from uwe_jax.ranking.target_space import TargetSpace
from uwe_jax.retrieval.embedding import Embedder
from uwe_jax.retrieval.explanation import Explanation, attribute, explained
from uwe_jax.retrieval.limits import accepted
from uwe_jax.retrieval.pieces import PieceReader
from uwe_jax.retrieval.store.searchable import Hit, Searchable
from uwe_jax.retrieval.store.stored_targets import Index
from uwe_jax.runtime.errors import UserError
from uwe_jax.scoring.scorer_text import scorer_text
from uwe_jax.scoring.words import Words
from uwe_jax.sources.tables.problems import shorten

_RANKED = 100  # hits among which the place of a target is looked for


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


def placed(ranker: Any, query: str, id: str, space: Searchable | None) -> tuple[Hit, int, int]:
    """Finds a target of an index among the first hits of a query, for its explanation.

    Returns:
      The target as a hit of the name that matches best, with its probability where it is among these hits; its place
      among them, 0 where it is not; and the number of targets that were ranked.

    Raises:
      UserError: there is no index, or no such target.
    """
    if space is None:
        raise UserError(f"The target is given by its id {shorten(id)}. Give the index that it belongs to as space.")
    label, *names = space.names_of(id)
    alone = ranker.encode_targets([label.text], [id], dtype="float32", progress=False, names=[names])
    if ranker.how.words and isinstance(space, Index):
        alone.words = space.words_of(id)
    hit, ranked = ranker.rank(query, alone)[0], ranker.rank(query, space, _RANKED)
    place, p = next(((k, each.probability) for k, each in enumerate(ranked, 1) if each.id == id), (0, None))
    return hit._replace(columns=space.columns_of(id), probability=p), place, ranked.total


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
