"""A target space in Qdrant: candidates by its MaxSim, exact scores of the candidates here.

MaxSim is what Qdrant computes over multi-vectors, for a query the sum over i of max_j cos(e_i, t_j); the scorer then
ranks what it found by the candidates' own token vectors. A target beyond the candidates is missed: `QdrantSpace.recall`
measures how often. Embedded mode compares with every target; a server follows its index where it has built one.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from uwe_jax.config import ScorerSettings
from uwe_jax.data.ragged import run_offsets
from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.retrieval.qdrant.connection import Store, library
from uwe_jax.retrieval.qdrant.filters import Filters, unscored_hit
from uwe_jax.retrieval.qdrant.query_vectors import query_vectors
from uwe_jax.retrieval.qdrant.rescoring import candidate_scores
from uwe_jax.retrieval.qdrant.stored import Stored, aliases, check_name, find, unfinished
from uwe_jax.retrieval.qdrant.upload import content_digest, switch, to_replace, upload
from uwe_jax.retrieval.store.columns import Where
from uwe_jax.retrieval.store.searchable import Hit, Origin
from uwe_jax.retrieval.store.stored_targets import Space
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.settings import one_of
from uwe_jax.scoring.ragged import is_pooled

# Candidates of a query where nothing else is said.
_PER_HIT, _LEAST = 10, 100
# Targets that a server's index looks at for a query: at least, and for every candidate. With its default, 100 for 100
# candidates, it loses 1.2 % of the ten best of 13,896 skills for job titles; with 256, 0.2 to 0.7 %.
_LEAST_LOOKS, _LOOKS = 256, 2
# Targets whose vectors are in memory at once, and in one answer of a server.
_HELD, _READ = 4096, 512


class QdrantSpace:
    """n targets in Qdrant; a `Searchable`. Made by `create` and `open`; a context manager that closes it.

    Attributes:
      candidates: that Qdrant names for a query; None takes ten for every hit asked for and at least 100. Never fewer
        than the hits.
      exhaustive: whether a server compares with every target instead of following its index.
    """

    def __init__(self, store: Store, collection: str, stored: Stored, candidates: int | None = None):
        self._store = store
        self._collection = collection
        self._stored = stored
        self._filters = Filters(store, collection, stored.columns)
        self.candidates = candidates
        self.exhaustive = False

    @classmethod
    def create(
        cls,
        location: Any,
        name: str,
        space: Space,
        *,
        replace: bool = False,
        dtype: str = "float32",
        on_disk: bool = False,
        shards: int | None = None,
        bar: bool = False,
    ) -> QdrantSpace:
        """Uploads a space, and opens it.

        An upload that was stopped goes on when it is started again, and nothing is uploaded where the store has the
        same space already. A space of that name by the same model is replaced when the upload is complete; until then
        searches find the old one.

        Args:
          location: see `Store.connect`.
          name: of the space there.
          space: what to upload.
          replace: also take the place of a space by another model.
          dtype: that a server keeps vectors in: float32, or float16 for half the memory.
          on_disk: a server keeps vectors and texts on its disk.
          shards: parts that a cluster spreads over its nodes; None leaves their number to it.
          bar: shows progress.

        Raises:
          UserError: the name is taken by another model's space or another program, the space is empty, or as `upload`.
        """
        check_name(name)
        one_of("dtype", dtype, ("float32", "float16"))
        if not len(space):
            raise UserError("The space has no targets. Give one with at least one target.")
        tokens, texts, ids = space.tokens, space.texts, space.ids
        columns = {column: list(values) for column, values in space.columns.items()}
        digest = content_digest(
            tokens, texts, ids, repr(space.origin), dtype, *([json.dumps(columns)] if columns else [])
        )
        stored = Stored(space.origin, len(space), tokens.width, dtype, digest, tuple(columns))
        collection = stored.collection(name)
        store = Store.connect(location, create=True)
        try:
            before = to_replace(store, name, stored, replace=replace)
            if before != collection:
                upload(store, collection, stored, tokens, texts, ids, columns, on_disk=on_disk, shards=shards, bar=bar)
                switch(store, name, before, collection)
        except BaseException:
            store.close()
            raise
        return cls(store, collection, stored)

    @classmethod
    def open(cls, location: Any, name: str, *, candidates: int | None = None) -> QdrantSpace:
        """Opens a space.

        Args:
          location: see `Store.connect`.
          name: of the space there.
          candidates: the attribute.

        Raises:
          UserError: as `find` and `Store.connect`.
        """
        store = Store.connect(location, create=False)
        try:
            collection, stored = find(store, name)
        except BaseException:
            store.close()
            raise
        return cls(store, collection, stored, candidates)

    @staticmethod
    def names(location: Any) -> list[str]:
        """The spaces in a store."""
        store = Store.connect(location, create=False)
        try:
            return list(aliases(store))
        finally:
            store.close()

    @staticmethod
    def delete(location: Any, name: str, *, unfinished_only: bool = False) -> int:
        """Deletes a space, and what uploads of that name have left.

        Args:
          unfinished_only: keep the complete space.

        Returns:
          Collections that were deleted.
        """
        store = Store.connect(location, create=False)
        try:
            gone = unfinished(store, name)
            complete = aliases(store).get(name)
            if complete and not unfinished_only:
                gone.append(complete)
            with store.asking() as client:
                for collection in gone:
                    client.delete_collection(collection)
            return len(gone)
        finally:
            store.close()

    @property
    def origin(self) -> Origin:
        """The model."""
        return self._stored.origin

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the further columns."""
        return self._stored.columns

    def __len__(self) -> int:
        return self._stored.size

    def __repr__(self) -> str:
        return f"<QdrantSpace of {len(self):,} targets by {self.origin.model}, {self._collection}>"

    def __enter__(self) -> QdrantSpace:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the store."""
        self._store.close()

    def count(self, where: Where = None) -> int:
        """Counts the targets that a filter leaves; see `Searchable.count`."""
        return self._filters.count(self._filters.of(where)) if where else len(self)

    def search(self, queries: RaggedTokens, top_k: int, scorer: ScorerSettings, where: Where = None) -> list[list[Hit]]:
        """The best candidates of every query, with the scores that `Space.search` gives them.

        Args:
          queries: raw token embeddings of q texts, by the model of `origin`.
          top_k: see `Space.search`, as `scorer`.
          where: see `Space.search`; Qdrant names candidates among the targets that fit.

        Raises:
          UserError: as `Space.search`, or the store does not answer.
        """
        return self._search(queries, top_k, scorer, self.candidates, self._filters.of(where))

    def recall(
        self,
        queries: RaggedTokens,
        top_k: int,
        exact: Space,
        *,
        scorer: ScorerSettings | None = None,
        candidates: int | None = None,
    ) -> float:
        """The share of the exact answer that is found: the mean over queries of |found and exact| / |exact|.

        Args:
          queries: see `search`.
          top_k: hits of a query.
          exact: the same targets, searched exactly.
          scorer: None takes that of the model.
          candidates: None takes the attribute.

        Returns:
          Between 0 and 1.
        """
        scorer, candidates = scorer or self.origin.scorer, candidates or self.candidates
        found = self._search(queries, top_k, scorer, candidates)
        right = exact.search(queries, top_k, scorer)
        shares = [len({h.id for h in f} & {h.id for h in r}) / len(r) for f, r in zip(found, right, strict=True)]
        return float(np.mean(shares))

    def _search(
        self, queries: RaggedTokens, top_k: int, scorer: ScorerSettings, candidates: int | None, chosen: Any = None
    ) -> list[list[Hit]]:
        self._check(queries, top_k, scorer)
        top_k = min(top_k, len(self))
        number = min(len(self), max(top_k, candidates or max(_PER_HIT * top_k, _LEAST)))
        hits: list[list[Hit]] = []
        step = max(1, _HELD // number)
        for start in range(0, len(queries), step):
            part = queries.part(start, min(start + step, len(queries)))
            named = self._candidates(part, number, scorer, chosen)
            positions = np.unique(np.concatenate(named))
            if not len(positions):  # no target fits every column
                hits += [[] for _ in named]
                continue
            targets, found = self._read(positions)
            for k, candidate in enumerate(named):
                members = np.full(number, -1)  # an index may find fewer
                members[: len(candidate)] = np.searchsorted(positions, candidate)
                scores = candidate_scores(part.part(k, k + 1), targets, members, scorer)[: len(candidate)]
                order = np.lexsort((candidate, -scores))[:top_k]
                hits.append([found[members[at]]._replace(score=float(scores[at])) for at in order])
        return hits

    def _check(self, queries: RaggedTokens, top_k: int, scorer: ScorerSettings) -> None:
        if top_k < 1:
            raise UserError(f"top_k is {top_k}; it must be at least 1.")
        if queries.width != self._stored.width:
            raise UserError(
                f"The queries' embeddings have width {queries.width} and the space's {self._stored.width}: they come "
                "from two encoders. Encode both with one model."
            )
        if self._stored.pooled and not is_pooled(scorer.kind, query=False):
            raise UserError(
                f"The space holds the mean of every target's tokens, made for the scorer {self.origin.scorer.kind}; "
                f"{scorer.kind} reads the tokens themselves. Encode the targets with that scorer."
            )

    def _candidates(
        self, queries: RaggedTokens, number: int, scorer: ScorerSettings, chosen: Any = None
    ) -> list[np.ndarray]:
        """Positions of the targets [number] that Qdrant finds most similar to every query."""
        models = library().models
        looks = None if self.exhaustive else max(_LEAST_LOOKS, _LOOKS * number)
        # Embedded mode warns that it compares with every target anyway.
        how = None if self._store.embedded else models.SearchParams(hnsw_ef=looks, exact=self.exhaustive)
        asked = [
            models.QueryRequest(query=query, limit=number, params=how, filter=chosen)
            for query in query_vectors(queries, scorer, pooled_targets=self._stored.pooled)
            if query is not None
        ]
        with self._store.asking() as client:
            answers = iter(client.query_batch_points(self._collection, asked) if asked else ())
            first = np.arange(number)  # of a query without tokens, which scores 0 with everything
            if chosen and len(asked) < len(queries):
                points, _ = client.scroll(self._collection, chosen, number, with_payload=False)
                first = np.array([point.id for point in points], np.int64)
        return [
            np.array([point.id for point in next(answers).points], np.int64) if length else first
            for length in queries.lengths
        ]

    def _read(self, positions: np.ndarray) -> tuple[RaggedTokens, list[Hit]]:
        """Raw token embeddings of targets, and the targets as hits without a score."""
        found: dict[int, Any] = {}
        with self._store.asking() as client:
            for start in range(0, len(positions), _READ):
                asked = positions[start : start + _READ].tolist()
                for point in client.retrieve(self._collection, asked, with_payload=True, with_vectors=True):
                    found[point.id] = point
        if len(found) < len(positions):
            raise UserError(
                f"{len(positions) - len(found)} of {len(positions)} targets are gone from the collection "
                f"{self._collection} in Qdrant at {self._store.where}. Delete the space and upload it again."
            )
        points = [found[position] for position in positions.tolist()]
        norms = [np.array(point.payload["norms"], np.float32) for point in points]
        rows = [
            np.array(point.vector, np.float32).reshape(-1, self._stored.width)[: len(norm)] * norm[:, None]
            for point, norm in zip(points, norms, strict=True)
        ]
        tokens = RaggedTokens(np.concatenate(rows), run_offsets(np.array([len(norm) for norm in norms])))
        return tokens, [unscored_hit(point.payload, self.columns) for point in points]
