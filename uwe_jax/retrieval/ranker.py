"""Ranking with a trained model from Python.

import uwe_jax

ranker = uwe_jax.load("all-MiniLM-L6-v2:soft")  # or the workdir of a training run, or an exported folder
print(ranker.rank("nurse", ["care for patients", "write code", "engineer software"], top_k=2))
print(ranker.explain("nurse", "care for patients"))
space = ranker.encode_targets(["care for patients", "write code", "engineer software"])  # once, for any number of calls
print(ranker.rank("nurse", space)[0].text)
space.save("skills")  # and later: space = uwe_jax.load_index("skills")
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import count, islice
from pathlib import Path
from typing import Unpack, overload

import numpy as np

from uwe_jax.data.text import without_marks
from uwe_jax.models.loaded import LoadedModel
from uwe_jax.ranking.ragged import RaggedTokens, not_scorable
from uwe_jax.retrieval.calibration import check_calibrated, searched
from uwe_jax.retrieval.embedding import Embedder
from uwe_jax.retrieval.encoding import encode_index
from uwe_jax.retrieval.explanation import Explanation
from uwe_jax.retrieval.given_texts import evaluation_scores, explain_pair, pair_scores, placed
from uwe_jax.retrieval.hits import Hits, Rankings
from uwe_jax.retrieval.limits import Accepted, accepted, check_index, check_limits, check_max_tokens, check_words, judge
from uwe_jax.retrieval.pieces import PieceReader
from uwe_jax.retrieval.settings import DEFAULT, Only, RankSettings
from uwe_jax.retrieval.store.columns import Where
from uwe_jax.retrieval.store.searchable import Hit, Origin, Searchable
from uwe_jax.retrieval.store.stored_targets import Index
from uwe_jax.runtime.errors import UserError

_SHORT = (4, 8, 12, 16)  # tokens, special ones included, of the queries that `warm_up` compiles for

Texts = str | Sequence[str]
Targets = Searchable | Iterable[str]


class Ranker:
    """Encodes texts, ranks targets for queries and explains scores, on all devices of this process.

    Texts are normalised (`uwe_jax.data.text`): Unicode NFC, runs of white space and control characters as one space.
    Duplicate texts of a call are encoded once. Wherever a list of texts is expected, a single text is accepted. It is
    a ranker of evaluations, too (`uwe_jax.evaluation.ranker`), by its `index`.

    Args:
      loaded: the model.
      how: settings of rankings.

    Attributes:
      name: of the model, for people.
      description: source and scorer of the model, in one line.
      scorer: of the model, with the learned attention temperature where it was learned.
      truncation: counts the texts of a list that have more than the model's `max_tokens`.

    Raises:
      UserError: the encoder has too few positions for the model's `max_tokens`, or they leave no room for a text.
    """

    def __init__(self, loaded: LoadedModel, how: RankSettings = DEFAULT):
        check_max_tokens(loaded)
        self.loaded, self.how = loaded, how
        self.name, self.description = loaded.name, loaded.description
        self.scorer = loaded.scorer
        self.truncation = loaded.truncation
        self._embed = Embedder(loaded)
        self._asked: Callable[[str], str] = without_marks if how.clean_queries else str

    def __repr__(self) -> str:
        return f"<Ranker {self.name}: {self.description}>"

    @cached_property
    def origin(self) -> Origin:
        """The origin of indexes by this model; computing its fingerprint takes a moment the first time."""
        return Origin(self.name, self.loaded.fingerprint, self.loaded.max_tokens, self.scorer)

    @cached_property
    def _pieces(self) -> PieceReader:
        return PieceReader(self.loaded.folder, self.loaded.tokeniser, self.loaded.max_tokens)

    @property
    def encode_seconds(self) -> float:
        """Time spent on tokenising and encoding so far, compilation included."""
        return self._embed.seconds

    def encode(self, texts: Texts) -> np.ndarray:
        """Returns one vector per text, float32 [n, d], or [d] for a single text: the unit mean of its token embeddings.

        Their dot products are cosines, the scores of the scorer `mean_pool`; `published` encodes texts as queries.
        Other scorers compare tokens: `scores` and `rank` give their scores, `encode_tokens` the embeddings of tokens.

        Raises:
          UserError: a text is refused (see `uwe_jax.retrieval.limits`), or its embedding is not finite.
        """
        units = self._embed.unit_means(accepted(texts, "Text"))
        return units[0] if isinstance(texts, str) else units

    def encode_tokens(self, texts: Texts) -> RaggedTokens:
        """Returns raw token embeddings of texts, in their order and in the encoder's compute dtype.

        Texts of similar length are encoded together. Errors are those of `encode`.
        """
        return self._embed(accepted(texts, "Text"))

    def encode_targets(
        self,
        texts: Sequence[str],
        ids: Sequence[str] | None = None,
        *,
        dtype: str = "float16",
        progress: bool = True,
        columns: Mapping[str, Sequence[str]] | None = None,
        names: Sequence[Sequence[str | tuple[str, str]]] = (),
    ) -> Index:
        """Encodes targets into an index, which is ranked any number of times and kept with `Index.save`.

        Args:
          texts: n targets; their labels, where they have several names.
          ids: n distinct ones; None takes the texts themselves.
          dtype: of stored embeddings, see `Index`.
          progress: show a bar on standard error.
          columns: further columns by their names, n values each, which hits show and `where` filters by.
          names: further names of every target, n lists of texts, or of pairs of a text and its role, "alternative" or
            "description"; empty and repeated ones are left out. The score of a target is that of
            `uwe_jax.scoring.names.name_scores`.

        Raises:
          UserError: there is no text, a text or column is refused, ids are not distinct, or an unknown dtype.
        """
        return encode_index(
            self._embed, self.origin, texts, ids, dtype=dtype, progress=progress, columns=columns or {}, names=names
        )

    # A str is a Sequence[str] as well, to a type checker; the first overload that fits is taken.
    @overload
    def rank(  # type: ignore[overload-overlap]
        self, queries: str, space: Targets, top_k: int = 10, **only: Unpack[Only]
    ) -> Hits: ...

    @overload
    def rank(self, queries: Sequence[str], space: Targets, top_k: int = 10, **only: Unpack[Only]) -> Rankings: ...

    def rank(self, queries: Texts, space: Targets, top_k: int = 10, **only: Unpack[Only]) -> Hits | Rankings:
        """Ranks targets for one query or several.

        Args:
          queries: one text, or q of them; for millions see `rank_stream`.
          space: an index by this model, or a list of texts, which is encoded in every call, as float32; see
            `encode_targets` for targets that are ranked again.
          top_k: hits per query; all targets where there are fewer.
          only: see `Only`.

        Returns:
          The query's hits (see `Hit`), best first, or a list of such lists; both print as tables.

        Raises:
          UserError: the index is of another model, `top_k` is below 1, no target has a column or value of `where`, or a
            target or query is refused (`uwe_jax.retrieval.limits`); with `rank_each` only that query fails.
        """
        asked = accepted(queries, "Query")  # before others are encoded
        found = Rankings(self.rank_stream(asked, space, top_k, batch=max(1, len(asked)), **only))
        return found[0] if isinstance(queries, str) else found

    def rank_stream(
        self, queries: Iterable[str], space: Targets, top_k: int = 10, *, batch: int = 1024, **only: Unpack[Only]
    ) -> Iterator[Hits]:
        """Yields the hits of each query in turn, for more queries than memory holds; arguments are as of `rank`.

        `batch` queries are read and answered together: more are faster, 1 answers each before the next is read.

        Raises:
          UserError: as of `rank`, the error of a query in its turn; see `rank_each` to continue after it.
        """

        def hits(answer: Hits | UserError) -> Hits:
            if isinstance(answer, UserError):
                raise answer
            return answer

        return map(hits, self.rank_each(queries, space, top_k, batch=batch, **only))

    def rank_each(
        self,
        queries: Iterable[str],
        space: Targets,
        top_k: int = 10,
        *,
        batch: int = 1024,
        where: Where = None,
        min_score: float | None = None,
        min_probability: float | None = None,
    ) -> Iterator[Hits | UserError]:
        """Yields the hits of each query as `rank_stream` does, or the error of a query that is refused; see `Only`.

        Raises:
          UserError: the index is of another model, `top_k` or `batch` is not a whole number of at least 1, a threshold
            is not a finite number, no target has a column or value of `where`, or `min_probability` is given for an
            index that is not calibrated for how it is ranked.
        """
        check_limits(top_k, batch, min_score, min_probability)
        if isinstance(space, str | Path):
            raise UserError(f"The targets are {str(space)!r}. Give a list of texts, or an index (uwe_jax.load_index).")
        if isinstance(space, Searchable):
            targets: Searchable = space
        else:
            distinct = list(dict.fromkeys(accepted(space, "Target")))
            targets = self.encode_targets(distinct, dtype="float32", progress=False)
        self.check(targets, top_k, min_probability=min_probability)
        targets.count(where)  # refuses a filter that no target fits
        judged = (judge(query, "Query", position) for position, query in enumerate(queries, 1))
        parts = zip(count(1, batch), iter(lambda: list(islice(judged, batch)), []))
        found = (each for first, asked in parts for each in self.search(asked, [targets], int(top_k), where, first))
        return (each if isinstance(each, UserError) else each[0].reaching(min_score, min_probability) for each in found)

    def scores(self, queries: Texts, targets: Texts) -> np.ndarray:
        """Returns s(q, y) of every query with every target, float32 [q, n].

        Raises:
          UserError: a text is refused, which the error names, or there is no target.
        """
        return pair_scores(self._embed, self.scorer, map(self._asked, accepted(queries, "Query")), targets)

    def explain(
        self,
        query: str,
        target: str | Hit = "",
        *,
        id: str = "",
        space: Searchable | None = None,
        by_word: bool = True,
    ) -> Explanation:
        """Explains the score of a query and a target by pairs of tokens.

        Args:
          query: a text.
          target: a text, or a hit of the query, whose matching name is explained.
          id: of a target of `space` instead, of which the name that matches best is explained; its place is told, too.
          space: an index. Words in common are explained for it alone, since their parts depend on its names.
          by_word: join the tokens of each word.

        Raises:
          UserError: a text is refused, or there is no such target, or the model scores whole texts (`published`).
        """
        if self.loaded.sides:
            raise UserError(
                f"{self.name} compares one vector per text, so its scores have no parts by token. Explain those of the "
                "same encoder with another scorer, such as soft."
            )
        place, of = 0, 0
        if id:
            target, place, of = placed(self, query, id, space)
        hit, text = (target, target.matched) if isinstance(target, Hit) else (None, target)
        words = space.words if self.how.words and isinstance(space, Index) else None
        pair = self._asked(*accepted(query, "Query")), text
        found = explain_pair(self._embed, self._pieces, self.scorer, pair, by_word, words, self.how.words)
        return replace(found, hit=hit, rank=place, of=of)

    def warm_up(self, space: Searchable, top_k: int = 10) -> None:
        """Puts an index on the devices and compiles for single short queries; another `top_k` may compile again."""
        special = self.loaded.tokeniser.special.count
        for tokens in _SHORT:
            self.rank(" ".join(["a"] * max(1, min(tokens, self.loaded.max_tokens) - special)), space, top_k)

    def check(self, space: Searchable, top_k: int = 10, place: str = "", min_probability: float | None = None) -> None:
        """Raises UserError, which names the place, unless this model can rank `top_k` targets of an index.

        A `min_probability` needs a calibration that holds for this model and its settings.
        """
        check_index(self.origin, space.origin, top_k, place)
        check_words(self.how.words, space, place)
        check_calibrated(space, self.origin, self.how, place, min_probability)

    def search(
        self, queries: Sequence[Accepted], spaces: Sequence[Searchable], top_k: int, where: Where, first: int
    ) -> list[list[Hits] | UserError]:
        """Returns the hits of each query in each of the indexes, which `check` has passed, or the query's error.

        A query is encoded once, and equal ones are searched once.

        Args:
          queries: as `uwe_jax.retrieval.limits.judge` returns them, the first of them with the number `first`.
        """
        distinct = list(dict.fromkeys(query for query in queries if isinstance(query, str)))
        cleaned = list(map(self._asked, distinct))
        tokens = self._embed(cleaned)
        fine = np.flatnonzero(tokens.scorable)
        asked, texts = tokens.take(fine), [cleaned[at] for at in fine]
        of_spaces = [
            searched(space, asked, top_k, self.origin, self.how, where, texts) for space in (spaces if texts else ())
        ]
        hits = {
            distinct[at]: [Hits(found[k], distinct[at], held, total=total) for found, held, total in of_spaces]
            for k, at in enumerate(fine)
        }
        return [
            hits.get(query, UserError(not_scorable("Query", position))) if isinstance(query, str) else query
            for position, query in enumerate(queries, first)
        ]

    def index(self, targets: Sequence[str]) -> Callable[[Sequence[str]], np.ndarray]:
        """Encodes n targets for an evaluation, and returns a function of q queries to scores, float32 [q, n].

        Targets are taken as they are. Their embeddings are cached: target spaces share texts, and the queries of one
        task are the targets of another.

        Raises:
          UserError: there are no targets, or a text cannot be scored.
        """
        score = evaluation_scores(self._embed, self.scorer, self.how.words, targets, f"{self.name}: encoding targets")
        return lambda queries: score([*map(self._asked, queries)])
