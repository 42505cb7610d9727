"""An index in Qdrant: candidates by Qdrant's MaxSim, exact scores of the candidates here.

Qdrant computes MaxSim over multi-vectors, the sum over i of max_j cos(e_i, t_j) of a query; the scorer then ranks the
candidates by their token vectors. A target beyond the candidates is missed: `QdrantIndex.recall` measures how often.
Embedded mode compares with every target; a server uses its approximate index where it has built one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np

from uwe_jax.config import ScorerSettings
from uwe_jax.data.ragged import run_offsets
from uwe_jax.data.text import name_key
from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.ranking.target_space import TargetSpace
from uwe_jax.retrieval.limits import check_words
from uwe_jax.retrieval.qdrant.calibrated import read_calibration_of, write_calibration_of
from uwe_jax.retrieval.qdrant.connection import Store, library
from uwe_jax.retrieval.qdrant.query_vectors import query_vectors
from uwe_jax.retrieval.qdrant.stored import Stored, aliases, check_name, field, find, names_in, unfinished
from uwe_jax.retrieval.qdrant.upload import content_digest, switch, to_replace, upload
from uwe_jax.retrieval.settings import DEFAULT, RankSettings
from uwe_jax.retrieval.store.columns import COMPARED, DESCRIPTION, Where, alternatives, check_column, unknown_value
from uwe_jax.retrieval.store.names import Name, exact_first, no_target
from uwe_jax.retrieval.store.searchable import Hit
from uwe_jax.retrieval.store.stored_targets import Index
from uwe_jax.runtime.errors import UserError
from uwe_jax.scoring.names import NamePlaces, name_scores, name_shares
from uwe_jax.scoring.ragged import formula

_PER_HIT, _LEAST = 10, 100  # default candidates per hit, and at least
# Times as many where targets have several names, whose tokens MaxSim mixes: of the ten best of 3,007 occupations with
# 33,000 names for job titles, 100 candidates hold 97.5 to 98.8 %, and 200 hold 99.5 to 99.9 %.
_NAMED = 2
# Search width (hnsw_ef) of a server's approximate index: at least, and per candidate. With its default, 100 for 100
# candidates, it loses 1.2 % of the ten best of 13,896 skills for job titles; with 256, 0.2 to 0.7 %.
_LEAST_WIDTH, _WIDTH = 256, 2
_DTYPE = "float32"  # of the vectors
_HELD, _READ = 4096, 512  # targets whose vectors are in memory at once, and in one answer of a server


class QdrantIndex:
    """An index of n targets in Qdrant, a `Searchable`; see `create` and `open`. As a context manager it closes itself.

    Attributes:
      origin: the model.
      columns: names of the further columns.
      candidates: that Qdrant proposes per query, never fewer than the hits; None takes ten per hit and at least 100,
        and twice as many where targets have several names.
      several: whether targets have several names.
      sketch: of all names, see `uwe_jax.retrieval.sketch`.
      calibration: that the index had when it was uploaded; None where it had none.
    """

    def __init__(self, store: Store, collection: str, stored: Stored, candidates: int | None = None):
        self._store = store
        self._collection = collection
        self._stored = stored
        self._known: set[tuple[str, str]] = set()  # columns and values that occur; points never change
        self.origin = stored.origin
        self.columns = stored.columns
        self.candidates = candidates
        self.several, self.described, self.sketch = bool(stored.names), stored.described, stored.sketch
        self.calibration = read_calibration_of(store, collection)

    @classmethod
    def create(cls, location: Any, name: str, space: Index) -> QdrantIndex:
        """Uploads an index, and opens it.

        An interrupted upload is resumed, and nothing but the calibration is uploaded where the store has the same index
        already. An index of that name is replaced when the upload is complete; until then searches use the old one.

        Args:
          location: see `Store.connect`.
          name: of the index there.
          space: to upload.

        Raises:
          UserError: the name is taken by another program, the index is empty, or as `upload`.
        """
        check_name(name)
        if not len(space):
            raise UserError("The index has no targets. Give one with at least one target.")
        tokens = space.tokens
        columns = {column: list(values) for column, values in space.columns.items()}
        parts = [json.dumps(columns)] if columns else []
        if space.roles:
            parts.append(json.dumps([*zip(space.names, space.roles, strict=True)]))
        digest = content_digest(tokens, space.texts, space.ids, repr(space.origin), _DTYPE, *parts)
        names = len(space.names) if space.roles else 0
        about = (tuple(columns), names, space.sketch, space.described)
        stored = Stored(space.origin, len(space), tokens.width, _DTYPE, digest, *about)
        collection = f"{name}--{digest}"
        store = Store.connect(location, create=True)
        try:
            before = to_replace(store, name)
            if before != collection:
                upload(store, collection, stored, space, tokens)
                switch(store, name, before, collection)
            write_calibration_of(store, collection, stored, space.calibration)
        except BaseException:
            store.close()
            raise
        return cls(store, collection, stored)

    @classmethod
    def open(cls, location: Any, name: str, *, candidates: int | None = None) -> QdrantIndex:
        """Opens an index of a name at a location, see `Store.connect`.

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
    def delete(location: Any, name: str) -> int:
        """Deletes an index and incomplete uploads of that name; returns the number of deleted collections."""
        with closing(Store.connect(location, create=False)) as store:
            gone = [*unfinished(store, name), *(each for key, each in aliases(store).items() if key == name)]
            with store.asking() as client:
                for collection in gone:
                    client.delete_collection(collection)
            return len(gone)

    def __len__(self) -> int:
        return self._stored.size

    def __repr__(self) -> str:
        return f"<QdrantIndex of {len(self):,} targets by {self.origin.model}, {self._collection}>"

    def __enter__(self) -> QdrantIndex:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the store."""
        self._store.close()

    def count(self, where: Where = None) -> int:
        """Counts the targets that match a filter; see `Searchable.count`."""
        return self._count(self._filter(where)) if where else len(self)

    def search(
        self,
        queries: RaggedTokens,
        top_k: int,
        scorer: ScorerSettings,
        where: Where = None,
        *,
        texts: Sequence[str] = (),
        how: RankSettings = DEFAULT,
    ) -> list[list[Hit]]:
        """Returns the best candidates of every query, with the scores of `Index.search`.

        Qdrant proposes candidates among the targets that match the filter. Exact names come first among these.

        Raises:
          UserError: a filter or `how.words` is refused, or the store does not answer.
        """
        check_words(how.words, self)
        keys = list(map(name_key, texts)) or [""] * len(queries)
        chosen = self._filter(where)
        top_k = min(top_k, len(self))
        more = _NAMED if self._stored.names else 1
        wanted = how.candidates or self.candidates or more * max(_PER_HIT * top_k, _LEAST)
        number = min(len(self), max(top_k, wanted))
        hits: list[list[Hit]] = []
        step = max(1, _HELD // (number * max(1, self._stored.names // len(self))))
        for start in range(0, len(queries), step):
            part = queries.part(start, min(start + step, len(queries)))
            named = self._candidates(part, number, scorer, chosen)
            positions = np.unique(np.concatenate(named))
            if not len(positions):  # no target matches the whole filter
                hits += [[] for _ in named]
                continue
            targets, found, names = self._read(positions)
            starts = run_offsets(np.array([*map(len, names)]))[:-1]
            space = TargetSpace.build(targets, formula(scorer), few_shapes=True)
            scores = space.scores(part, scorer.temperatures)
            described = np.array([name.role == DESCRIPTION for each in names for name in each])
            combined = name_scores(scores, NamePlaces(starts, described), how.weights)
            for row, all_scores, candidate, key in zip(combined, scores, named, keys[start:], strict=False):
                at = np.searchsorted(positions, candidate)
                exact: dict[int, int] = {}  # the first name that equals the query, by the target's position
                for k in at.tolist() if key else ():
                    same = (place for place, name in enumerate(names[k]) if name_key(name.text) == key)
                    if (first := next(same, None)) is not None:
                        exact[k] = first
                hits.append([])
                for k in at[exact_first(at, row[at], exact)][:top_k].tolist():
                    own = slice(starts[k], starts[k] + len(names[k]))
                    parts = name_shares(all_scores[own], how.weights, described[own])
                    name, role = names[k][exact.get(k, parts.matched)]
                    matched = {"name": name if role else "", "exact": k in exact, "role": role}
                    hits[-1].append(found[k]._replace(score=float(row[k]), **matched))
        return hits

    def names_of(self, target: str) -> list[Name]:
        """Returns the names of the target with an id; see `Searchable.names_of`."""
        return [Name(text, role) for text, role, _ in names_in(self._payload(target))]

    def columns_of(self, target: str) -> dict[str, str]:
        """Returns the values of a target in the further columns; see `Searchable.columns_of`."""
        return self._values(self._payload(target))

    def _payload(self, target: str) -> Mapping[str, Any]:
        models = library().models
        one = models.Filter(must=[models.FieldCondition(key="id", match=models.MatchValue(value=target))])
        with self._store.asking() as client:
            points, _ = client.scroll(self._collection, one, limit=1, with_payload=True)
        if not points:
            raise no_target(target)
        return points[0].payload

    def _values(self, payload: Mapping[str, Any]) -> dict[str, str]:
        return {name: payload[field(k)] for k, name in enumerate(self.columns)}

    def recall(self, queries: RaggedTokens, top_k: int, exact: Index, scorer: ScorerSettings | None = None) -> float:
        """Returns the share of the exact answer that is found: the mean over queries of |found and exact| / |exact|.

        `exact` is an index of the same targets; `scorer` replaces that of the model.
        """
        scorer = scorer or self.origin.scorer
        found, right = (space.search(queries, top_k, scorer) for space in (self, exact))
        shares = [len({h.id for h in f} & {h.id for h in r}) / len(r) for f, r in zip(found, right, strict=True)]
        return float(np.mean(shares))

    def _filter(self, where: Where) -> Any:
        """Returns Qdrant's form of a filter; None for all points."""
        models, conditions = library().models, []
        for name, values in alternatives(where).items():
            check_column(name, self.columns)
            key = field(self.columns.index(name))
            for value in values:
                self._check(name, key, value)
            conditions.append(models.FieldCondition(key=key, match=models.MatchAny(any=list(values))))
        return models.Filter(must=conditions) if conditions else None

    def _count(self, chosen: Any) -> int:
        with self._store.asking() as client:
            return client.count(self._collection, count_filter=chosen, exact=True).count

    def _check(self, name: str, key: str, value: str) -> None:
        if (name, value) in self._known:
            return
        models = library().models
        match = models.FieldCondition(key=key, match=models.MatchValue(value=value))
        if not self._count(models.Filter(must=[match])):
            with self._store.asking() as client:
                hits = client.facet(self._collection, key, limit=COMPARED).hits
            raise unknown_value(name, value, {str(hit.value): hit.count for hit in hits})
        self._known.add((name, value))

    def _candidates(
        self, queries: RaggedTokens, number: int, scorer: ScorerSettings, chosen: Any = None
    ) -> list[np.ndarray]:
        """Returns positions of the targets [number] that Qdrant finds most similar to every query."""
        models = library().models
        # Embedded mode warns that it compares with every target anyway.
        width = max(_LEAST_WIDTH, _WIDTH * number)
        how = None if self._store.embedded else models.SearchParams(hnsw_ef=width)
        asked = [
            models.QueryRequest(query=query, limit=number, params=how, filter=chosen)
            for query in query_vectors(queries, scorer, pooled=self._stored.pooled, single=self._stored.single)
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

    def _read(self, positions: np.ndarray) -> tuple[RaggedTokens, list[Hit], list[list[Name]]]:
        """Returns raw token embeddings of the names of targets, the targets as hits that score 0, and their names."""
        found: dict[int, Any] = {}
        with self._store.asking() as client:
            for start in range(0, len(positions), _READ):
                asked = positions[start : start + _READ].tolist()
                for point in client.retrieve(self._collection, asked, with_payload=True, with_vectors=True):
                    found[point.id] = point
        if len(found) < len(positions):
            raise UserError(
                f"{len(positions) - len(found)} of {len(positions)} targets are missing from the collection "
                f"{self._collection} in Qdrant at {self._store.where}. Delete the index and upload it again."
            )
        points = [found[position] for position in positions.tolist()]
        norms = [np.array(point.payload["norms"], np.float32) for point in points]
        rows = [
            np.array(point.vector, np.float32).reshape(-1, self._stored.width)[: len(norm)] * norm[:, None]
            for point, norm in zip(points, norms, strict=True)
        ]
        named = [names_in(point.payload) for point in points]
        lengths = np.array([length for each in named for *_, length in each], np.int64)
        tokens = RaggedTokens(np.concatenate(rows), run_offsets(lengths))
        hits = []
        for payload in (point.payload for point in points):
            hits.append(Hit(payload["id"], payload["text"], 0.0, self._values(payload)))
        return tokens, hits, [[Name(text, role) for text, role, _ in each] for each in named]
