"""Ranking with a trained model from Python.

import uwe_jax

ranker = uwe_jax.load("all-MiniLM-L6-v2:soft")  # or the workdir of a training run, or an exported folder
print(ranker.rank("nurse", ["care for patients", "write code", "engineer software"], top_k=2))
print(ranker.explain("nurse", "care for patients"))
space = ranker.encode_targets(["care for patients", "write code", "engineer software"])  # once, for any number of calls
print(ranker.rank("nurse", space)[0].text)
space.save("skills")  # and later: space = uwe_jax.load_space("skills")
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import overload

import numpy as np

from uwe_jax.models.loaded import LoadedModel
from uwe_jax.models.loading import load_model
from uwe_jax.ranking.ragged import RaggedTokens, not_scorable
from uwe_jax.ranking.target_space import TargetSpace
from uwe_jax.retrieval.attribution import attribute
from uwe_jax.retrieval.embedder import Embedder
from uwe_jax.retrieval.explanation import Explanation, explained, explained_by_word
from uwe_jax.retrieval.hits import Hits, Rankings
from uwe_jax.retrieval.limits import accepted, check_max_tokens, check_space, judged
from uwe_jax.retrieval.pieces import PieceReader
from uwe_jax.retrieval.store.columns import Where, packed
from uwe_jax.retrieval.store.quantise import check_dtype
from uwe_jax.retrieval.store.searchable import Origin, Searchable
from uwe_jax.retrieval.store.stored_targets import Space, target_ids
from uwe_jax.runtime.errors import UserError
from uwe_jax.scoring.scorer_text import scorer_text
from uwe_jax.scoring.softmax import TINY

# Targets encoded before they are put into their storage format: some gigabytes of float32 at the most.
_PART = 32768
# Tokens of the queries that `warm_up` compiles for, special ones included.
_SHORT = (4, 8, 12, 16)

Targets = Searchable | Iterable[str]


def load(name: str | Path, *, cache_dir: Path | None = None, max_tokens: int | None = None) -> Ranker:
    """A model that is ready to rank.

    Args:
      name: the workdir of a training run, an exported folder, or an encoder's folder or hub id, which scores by
        mean pooling, or by the scorer behind a colon, as in "all-MiniLM-L6-v2:soft".
      cache_dir: where encoders from wheels are kept; None takes $UWE_JAX_CACHE or the user's cache folder.
      max_tokens: longer texts lose their end; special tokens included. None takes what a model was exported with, for
        others the paper's 64.

    Raises:
      UserError: there is no such model, it cannot be read, or it has no positions for so many tokens.
    """
    return Ranker(load_model(name, cache_dir=cache_dir, max_tokens=max_tokens))


class Ranker:
    """Encodes texts, ranks targets for queries and explains scores, on all devices of this process.

    Texts are normalised (`uwe_jax.data.text`): Unicode NFC, runs of white space and control characters as one space.
    A text that a call gives several times is encoded once. Wherever a list of texts is expected, one text will do.

    Args:
      loaded: the model.

    Attributes:
      loaded: the model.
      name: of the model, for people.
      scorer: how it scores, with the learned attention temperature where it was learned.

    Raises:
      UserError: the encoder has no positions for the model's `max_tokens`, or they leave no room for a text.
    """

    def __init__(self, loaded: LoadedModel):
        check_max_tokens(loaded)
        self.loaded = loaded
        self.name = loaded.name
        self.scorer = loaded.scorer
        self._embed = Embedder(loaded)

    def __repr__(self) -> str:
        return f"<Ranker {self.name}: {self.loaded.description}>"

    @cached_property
    def origin(self) -> Origin:
        """What target spaces of this model are marked with; its fingerprint takes a moment the first time."""
        return Origin(self.name, self.loaded.fingerprint, self.loaded.max_tokens, self.scorer)

    @cached_property
    def _pieces(self) -> PieceReader:
        return PieceReader(self.loaded.folder, self.loaded.tokeniser, self.loaded.max_tokens)

    def encode(self, texts: str | Sequence[str], *, label: str = "") -> np.ndarray:
        """One vector per text, float32 [n, d], or [d] for a single text: the mean of its token embeddings, of length 1.

        Their dot products are cosines, which is how the scorer `mean_pool` scores. The other scorers compare tokens:
        `scores` and `rank` give their scores, `encode_tokens` the embeddings of tokens.

        Args:
          texts: n of them.
          label: of a progress bar; without one there is no bar.

        Raises:
          UserError: a text is refused (see `uwe_jax.retrieval.limits`), or its embedding is not finite.
        """
        tokens = self.encode_tokens(texts, label=label)
        tokens.check_scorable("Text")
        means = tokens.pooled().flat
        units = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), TINY)
        return units[0] if isinstance(texts, str) else units

    def encode_tokens(self, texts: str | Sequence[str], *, label: str = "") -> RaggedTokens:
        """Raw token embeddings of texts, in their order and in the encoder's compute dtype.

        Texts of like length are encoded together. Arguments and errors are those of `encode`.
        """
        return self._embed(accepted(texts, "Text"), label)

    def encode_targets(
        self,
        texts: Sequence[str],
        ids: Sequence[str] | None = None,
        *,
        dtype: str = "float16",
        progress: bool = True,
        columns: Mapping[str, Sequence[str]] | None = None,
    ) -> Space:
        """A target space: encoded once, ranked any number of times, and kept with `Space.save`.

        Args:
          texts: n targets.
          ids: n of them, each once; None takes the texts themselves.
          dtype: in which embeddings are stored, see `Space`.
          progress: show a bar on standard error.
          columns: further columns by their names, n values each, which hits show and `where` filters by.

        Raises:
          UserError: there is no text, a text or column is refused, ids are not distinct, or an unknown dtype.
        """
        check_dtype(dtype)
        targets = accepted(texts, "Target")
        chosen = target_ids(targets, ids)  # before the hours that encoding may take
        packed(columns, len(targets))
        starts = range(0, len(targets), _PART)
        space: Space | None = None
        for number, start in enumerate(starts, 1):
            part = slice(start, start + _PART)
            of = f", part {number} of {len(starts)}" if len(starts) > 1 else ""
            tokens = self._embed(targets[part], f"Encoding targets{of}" if progress else "")
            rows = {name: values[part] for name, values in (columns or {}).items()}
            if space is None:
                space = Space.from_tokens(tokens, targets[part], chosen[part], self.origin, dtype, columns=rows)
            else:
                space = space.add(tokens, targets[part], chosen[part], columns=rows)
        if space is None:
            raise UserError("There are no targets to encode. Give at least one text.")
        return space

    # A str is a Sequence[str] as well, to a type checker; the first overload that fits is taken.
    @overload
    def rank(  # type: ignore[overload-overlap]
        self, queries: str, space: Targets, top_k: int = 10, *, where: Where = None
    ) -> Hits: ...

    @overload
    def rank(self, queries: Sequence[str], space: Targets, top_k: int = 10, *, where: Where = None) -> Rankings: ...

    def rank(
        self, queries: str | Sequence[str], space: Targets, top_k: int = 10, *, where: Where = None
    ) -> Hits | Rankings:
        """The best targets of one query or of several, best first.

        Args:
          queries: one text, or q of them; for millions see `rank_stream`.
          space: targets encoded by this model, or a list of texts. That is encoded in every call, as float32, each
            distinct text once: `encode_targets` is for those that are ranked again.
          top_k: hits of a query; all targets where there are fewer.
          where: ranks only the targets whose further columns have a value, as {"family": "logistics"}, or one of
            several, as {"family": ["logistics", "food"]}; each of the columns must fit.

        Returns:
          A list of the query's hits (id, text, score, columns), or a list of such lists; both print as tables.

        Raises:
          UserError: the space was made by another model, `top_k` is below 1, no target has a column or value of
            `where`, or a target or query is refused (`uwe_jax.retrieval.limits`); with `rank_each` that query alone.
        """
        asked = accepted(queries, "Query")  # before others are encoded
        found = Rankings(self.rank_stream(asked, space, top_k, batch=max(1, len(asked)), where=where))
        return found[0] if isinstance(queries, str) else found

    def rank_stream(
        self, queries: Iterable[str], space: Targets, top_k: int = 10, *, batch: int = 1024, where: Where = None
    ) -> Iterator[Hits]:
        """Yields the hits of each query in turn, for more queries than memory holds.

        Args:
          queries: as they come; so many as `batch` are read, and answered together.
          space: as of `rank`, as `top_k` and `where`.
          batch: queries at a time: more are faster, one answers each before the next is read.

        Raises:
          UserError: as of `rank`, the errors of a query when its turn has come; `rank_each` goes on behind it.
        """
        return map(_hits, self.rank_each(queries, space, top_k, batch=batch, where=where))

    def rank_each(
        self, queries: Iterable[str], space: Targets, top_k: int = 10, *, batch: int = 1024, where: Where = None
    ) -> Iterator[Hits | UserError]:
        """Yields what `rank_stream` does and, in the place of a query that is refused, the error: it costs no other.

        Raises:
          UserError: the space was made by another model, `top_k` or `batch` is below 1, or no target has a column or
            value of `where`.
        """
        if batch < 1:
            raise UserError(f"batch is {batch}; it must be at least 1.")
        targets = space if isinstance(space, Searchable) else self._encode_list(space)
        self.check(targets, top_k)
        targets.count(where)  # refuses a filter that no target fits

        def answers() -> Iterator[Hits | UserError]:
            waiting, first = iter(queries), 1
            while part := list(islice(waiting, batch)):
                yield from self._search(judged(part, "Query", first), targets, top_k, first, where)
                first += len(part)

        return answers()

    def scores(self, queries: str | Sequence[str], targets: str | Sequence[str]) -> np.ndarray:
        """s(q, y) of every query with every target, float32 [q, n].

        For targets that are scored again `encode_targets` saves their encoding.

        Raises:
          UserError: a text is refused, which the error names, or there is no target.
        """
        asked, wanted = accepted(queries, "Query"), accepted(targets, "Target")
        q, y = self._embed_sides(asked, wanted)
        return TargetSpace.build(y, self.scorer, few_shapes=True).scores(q, self.scorer.tau_a)

    def explain(self, query: str, target: str, *, by_word: bool = True) -> Explanation:
        """Which token of the query met which token of the target, and what that adds to their score.

        What `max_tokens` cuts off takes no part.

        Args:
          query: one text.
          target: one text.
          by_word: put the pieces of a word together; else each of the encoder's tokens stands alone.

        Raises:
          UserError: a text is refused.
        """
        texts = accepted(query, "Query") + accepted(target, "Target")
        parts = attribute(*self._embed_sides(texts[:1], texts[1:]), self.scorer)
        explain = explained_by_word if by_word else explained
        how = scorer_text(self.scorer, round(self.scorer.tau_a, 4))
        return explain(self._pieces(texts[0]), self._pieces(texts[1]), parts, how)

    def warm_up(self, space: Searchable, top_k: int = 10) -> None:
        """Compiles, and puts on the devices, what single short queries against a space need.

        Args:
          space: as of `rank`.
          top_k: that will be asked for; another one may be compiled when it comes.
        """
        special = self.loaded.tokeniser.special.count
        for tokens in _SHORT:
            self.rank(" ".join(["a"] * max(1, min(tokens, self.loaded.max_tokens) - special)), space, top_k)

    def check(self, space: Searchable, top_k: int = 10, place: str = "") -> None:
        """Raises UserError unless this model can rank so many targets of a space, at a place that the error names."""
        check_space(self.origin, space.origin, top_k, place)

    def _encode_list(self, texts: Iterable[str]) -> Space:
        """The targets of one call, each distinct text once."""
        if isinstance(texts, str | Path):
            raise UserError(f"The targets are {str(texts)!r}. Give a list of texts, or what uwe_jax.load_space opens.")
        targets = dict.fromkeys(accepted(texts, "Target"))
        return self.encode_targets(list(targets), dtype="float32", progress=False)

    def _search(
        self, queries: list[str | UserError], space: Searchable, top_k: int, first: int, where: Where
    ) -> list[Hits | UserError]:
        """The hits of accepted queries, the first at a position, or why one has none; equal ones are searched once."""
        distinct = list(dict.fromkeys(query for query in queries if isinstance(query, str)))
        tokens = self._embed(distinct)
        fine = np.flatnonzero(tokens.scorable)
        hits = space.search(tokens.take(fine), top_k, self.scorer, where) if len(fine) else []
        answers = zip((distinct[at] for at in fine), hits, strict=True)
        found: dict[str, Hits | UserError] = {query: Hits(each, query) for query, each in answers}
        return [
            found.get(query, UserError(not_scorable("Query", position))) if isinstance(query, str) else query
            for position, query in enumerate(queries, first)
        ]

    def _embed_sides(self, queries: list[str], targets: list[str]) -> tuple[RaggedTokens, RaggedTokens]:
        """Token embeddings of accepted texts that are to be scored with each other."""
        tokens = self._embed([*queries, *targets])
        q, y = tokens.part(0, len(queries)), tokens.part(len(queries), len(tokens))
        q.check_scorable("Query")
        y.check_scorable("Target")
        return q, y


def _hits(answer: Hits | UserError) -> Hits:
    """The hits of a query; raises the error of one that was refused."""
    if isinstance(answer, UserError):
        raise answer
    return answer
