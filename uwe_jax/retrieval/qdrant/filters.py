"""Further columns of targets in Qdrant: payload fields named by position, since a payload path cannot hold any name."""

from __future__ import annotations

from typing import Any

from uwe_jax.retrieval.qdrant.connection import Store, library
from uwe_jax.retrieval.store.columns import COMPARED, Where, alternatives, check_column, unknown_value


def field(position: int) -> str:
    """Returns the payload field of a column."""
    return f"column_{position}"


class Filters:
    """Filters of a collection whose points never change, by the names of its further columns."""

    def __init__(self, store: Store, collection: str, columns: tuple[str, ...]):
        self._store, self._collection, self._columns = store, collection, columns
        self._known: set[tuple[str, str]] = set()

    def of(self, where: Where) -> Any:
        """Returns Qdrant's form of a filter; None for all points.

        Raises:
          FilterError: as of `Searchable.count`.
          UserError: the store does not answer.
        """
        models, conditions = library().models, []
        for name, values in alternatives(where).items():
            check_column(name, self._columns)
            key = field(self._columns.index(name))
            for value in values:
                self._check(name, key, value)
            conditions.append(models.FieldCondition(key=key, match=models.MatchAny(any=list(values))))
        return models.Filter(must=conditions) if conditions else None

    def count(self, chosen: Any) -> int:
        """Counts the points that match a filter."""
        with self._store.asking() as client:
            return client.count(self._collection, count_filter=chosen, exact=True).count

    def _check(self, name: str, key: str, value: str) -> None:
        if (name, value) in self._known:
            return
        models = library().models
        match = models.FieldCondition(key=key, match=models.MatchValue(value=value))
        if not self.count(models.Filter(must=[match])):
            with self._store.asking() as client:
                hits = client.facet(self._collection, key, limit=COMPARED).hits
            raise unknown_value(name, value, {str(hit.value): hit.count for hit in hits})
        self._known.add((name, value))
