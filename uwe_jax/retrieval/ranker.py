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
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Any, overload

import numpy as np

from uwe_jax.distributed import parallel
from uwe_jax.models.loaded import LoadedModel
from uwe_jax.models.loading import load_model
from uwe_jax.ranking.encode import TextEncoder
from uwe_jax.ranking.ragged import RaggedTokens, not_scorable
from uwe_jax.ranking.target_space import TargetSpace
from uwe_jax.retrieval.attribution import attribute
from uwe_jax.retrieval.explanation import Explanation, explained
from uwe_jax.retrieval.hits import Hits, Rankings
from uwe_jax.retrieval.limits import accepted, check_index, check_max_tokens, judged
from uwe_jax.retrieval.pieces import PieceReader
from uwe_jax.retrieval.store.columns import Where, packed
from uwe_jax.retrieval.store.quantise import check_dtype
from uwe_jax.retrieval.store.searchable import Origin, Searchable
from uwe_jax.retrieval.store.stored_targets import Index, target_ids
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.progress import progress as progress_bar
from uwe_jax.scoring.scorer_text import scorer_text
from uwe_jax.scoring.softmax import TINY

_PART = 32768  # targets encoded before their conversion to the storage dtype: a few gigabytes of float32 at most
_SHORT = (4, 8, 12, 16)  # tokens, special ones included, of the queries that `warm_up` compiles for

Targets = Searchable | Iterable[str]


def load(name: str | Path, *, cache_dir: Path | None = None, max_tokens: int | None = None) -> Ranker:
    """Loads a model for ranking.

    Args:
      name: the workdir of a training run, an exported folder, or an encoder's folder or hub id, which scores by
        mean pooling, or by the scorer behind a colon, as in "all-MiniLM-L6-v2:soft".
      cache_dir: where encoders from wheels are kept; None takes $UWE_JAX_CACHE or the user's cache folder.
      max_tokens: longer texts are truncated; special tokens included. None takes the value of an export, else 64 as in
        the paper.

    Raises:
      UserError: there is no such model, it cannot be read, or it has too few positions for so many tokens.
    """
    return Ranker(load_model(name, cache_dir=cache_dir, max_tokens=max_tokens))


class Ranker:
    """Encodes texts, ranks targets for queries and explains scores, on all devices of this process.

    Texts are normalised (`uwe_jax.data.text`): Unicode NFC, runs of white space and control characters as one space.
    Duplicate texts of a call are encoded once. Wherever a list of texts is expected, a single text is accepted.

    Args:
      loaded: the model.

    Attributes:
      loaded: the model.
      name: of the model, for people.
      scorer: of the model, with the learned attention temperature where it was learned.

    Raises:
      UserError: the encoder has too few positions for the model's `max_tokens`, or they leave no room for a text.
    """

    def __init__(self, loaded: LoadedModel):
        check_max_tokens(loaded)
        self.loaded = loaded
        self.name = loaded.name
        self.scorer = loaded.scorer
        self._encoder = TextEncoder(loaded.model, loaded.texts_per_device)

    def __repr__(self) -> str:
        return f"<Ranker {self.name}: {self.loaded.description}>"

    @cached_property
    def origin(self) -> Origin:
        """The origin of indexes by this model; computing its fingerprint takes a moment the first time."""
        return Origin(self.name, self.loaded.fingerprint, self.loaded.max_tokens, self.scorer)

    @cached_property
    def _pieces(self) -> PieceReader:
        return PieceReader(self.loaded.folder, self.loaded.tokeniser, self.loaded.max_tokens)

    @cached_property
    def _params(self) -> Any:
        return parallel.replicate(self.loaded.params)

    def encode(self, texts: str | Sequence[str]) -> np.ndarray:
        """Returns one vector per text, float32 [n, d], or [d] for a single text: the unit mean of its token embeddings.

        Their dot products are cosines, the scores of the scorer `mean_pool`. The other scorers compare tokens: `scores`
        and `rank` give their scores, `encode_tokens` the embeddings of tokens.

        Raises:
          UserError: a text is refused (see `uwe_jax.retrieval.limits`), or its embedding is not finite.
        """
        tokens = self.encode_tokens(texts)
        tokens.check_scorable("Text")
        means = tokens.pooled().flat
        units = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), TINY)
        return units[0] if isinstance(texts, str) else units

    def encode_tokens(self, texts: str | Sequence[str]) -> RaggedTokens:
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
    ) -> Index:
        """Encodes targets into an index, which is ranked any number of times and kept with `Index.save`.

        Args:
          texts: n targets.
          ids: n distinct ones; None takes the texts themselves.
          dtype: of stored embeddings, see `Index`.
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
        space: Index | None = None
        for number, start in enumerate(starts, 1):
            part = slice(start, start + _PART)
            of = f", part {number} of {len(starts)}" if len(starts) > 1 else ""
            tokens = self._embed(targets[part], f"Encoding targets{of}" if progress else "")
            rows = {name: values[part] for name, values in (columns or {}).items()}
            if space is None:
                space = Index.from_tokens(tokens, targets[part], chosen[part], self.origin, dtype, columns=rows)
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
        """Ranks targets for one query or several.

        Args:
          queries: one text, or q of them; for millions see `rank_stream`.
          space: an index by this model, or a list of texts, which is encoded in every call, as float32; see
            `encode_targets` for targets that are ranked again.
          top_k: hits per query; all targets where there are fewer.
          where: ranks only the targets whose further columns have a value, as {"family": "logistics"}, or one of
            several, as {"family": ["logistics", "food"]}; every column must match.

        Returns:
          The query's hits (id, text, score, columns), best first, or a list of such lists; both print as tables.

        Raises:
          UserError: the index is of another model, `top_k` is below 1, no target has a column or value of `where`, or a
            target or query is refused (`uwe_jax.retrieval.limits`); with `rank_each` only that query fails.
        """
        asked = accepted(queries, "Query")  # before others are encoded
        found = Rankings(self.rank_stream(asked, space, top_k, batch=max(1, len(asked)), where=where))
        return found[0] if isinstance(queries, str) else found

    def rank_stream(
        self, queries: Iterable[str], space: Targets, top_k: int = 10, *, batch: int = 1024, where: Where = None
    ) -> Iterator[Hits]:
        """Yields the hits of each query in turn, for more queries than memory holds; arguments are as of `rank`.

        `batch` queries are read and answered together: more are faster, 1 answers each before the next is read.

        Raises:
          UserError: as of `rank`, the error of a query in its turn; see `rank_each` to continue after it.
        """
        return map(_hits, self.rank_each(queries, space, top_k, batch=batch, where=where))

    def rank_each(
        self, queries: Iterable[str], space: Targets, top_k: int = 10, *, batch: int = 1024, where: Where = None
    ) -> Iterator[Hits | UserError]:
        """Yields the hits of each query as `rank_stream` does, or the error of a query that is refused.

        Raises:
          UserError: the index is of another model, `top_k` or `batch` is below 1, or no target has a column or value of
            `where`.
        """
        if batch < 1:
            raise UserError(f"batch is {batch}; it must be at least 1.")
        if isinstance(space, str | Path):
            raise UserError(f"The targets are {str(space)!r}. Give a list of texts, or an index (uwe_jax.load_index).")
        if isinstance(space, Searchable):
            targets: Searchable = space
        else:
            distinct = list(dict.fromkeys(accepted(space, "Target")))
            targets = self.encode_targets(distinct, dtype="float32", progress=False)
        self.check(targets, top_k)
        targets.count(where)  # refuses a filter that no target fits

        def answers() -> Iterator[Hits | UserError]:
            waiting, first = iter(queries), 1
            while part := list(islice(waiting, batch)):
                yield from self._search(judged(part, "Query", first), targets, top_k, first, where)
                first += len(part)

        return answers()

    def scores(self, queries: str | Sequence[str], targets: str | Sequence[str]) -> np.ndarray:
        """Returns s(q, y) of every query with every target, float32 [q, n].

        Raises:
          UserError: a text is refused, which the error names, or there is no target.
        """
        q, y = self._embed_sides(accepted(queries, "Query"), accepted(targets, "Target"))
        return TargetSpace.build(y, self.scorer, few_shapes=True).scores(q, self.scorer.tau_a)

    def explain(self, query: str, target: str, *, by_word: bool = True) -> Explanation:
        """Explains the score of a query and a target, without the tokens beyond `max_tokens`, by pairs of tokens.

        `by_word` joins the subword tokens of each word.

        Raises:
          UserError: a text is refused.
        """
        (q,), (y,) = accepted(query, "Query"), accepted(target, "Target")
        parts = attribute(*self._embed_sides([q], [y]), self.scorer)
        how = scorer_text(self.scorer, digits=4)
        return explained(self._pieces(q), self._pieces(y), parts, how, by_word=by_word)

    def warm_up(self, space: Searchable, top_k: int = 10) -> None:
        """Puts an index on the devices and compiles for single short queries; another `top_k` may compile again."""
        special = self.loaded.tokeniser.special.count
        for tokens in _SHORT:
            self.rank(" ".join(["a"] * max(1, min(tokens, self.loaded.max_tokens) - special)), space, top_k)

    def check(self, space: Searchable, top_k: int = 10, place: str = "") -> None:
        """Raises UserError, which names the place, unless this model can rank `top_k` targets of an index."""
        check_index(self.origin, space.origin, top_k, place)

    def _search(
        self, queries: list[str | UserError], space: Searchable, top_k: int, first: int, where: Where
    ) -> list[Hits | UserError]:
        """Returns hits or the error of each accepted query, numbered from `first`; equal ones are searched once."""
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

    def _embed(self, texts: list[str], label: str = "") -> RaggedTokens:
        """Returns raw token embeddings of accepted texts, in their order; each distinct one is encoded once."""
        model = self.loaded.model
        if not texts:
            return RaggedTokens(np.zeros((0, model.encoder.config.width), model.encoder.dtype), np.zeros(1, np.int64))
        places: dict[str, int] = {}
        rows = np.fromiter((places.setdefault(text, len(places)) for text in texts), np.int64, len(texts))
        table = self.loaded.tokeniser.tokenise(places)
        bar: Callable = partial(progress_bar, label=label, unit=" batches") if label else iter
        tokens = self._encoder(self._params, table, np.arange(len(table)), self.loaded.max_tokens, bar)
        return tokens if len(places) == len(texts) else tokens.take(rows)

    def _embed_sides(self, queries: list[str], targets: list[str]) -> tuple[RaggedTokens, RaggedTokens]:
        tokens = self._embed([*queries, *targets])
        q, y = tokens.part(0, len(queries)), tokens.part(len(queries), len(tokens))
        q.check_scorable("Query")
        y.check_scorable("Target")
        return q, y


def _hits(answer: Hits | UserError) -> Hits:
    if isinstance(answer, UserError):
        raise answer
    return answer
