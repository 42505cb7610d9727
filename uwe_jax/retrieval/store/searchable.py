"""Interface of everything that can be ranked against: an index in memory, or one in a vector store."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

from uwe_jax.config import ScorerSettings
from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.retrieval.store.columns import Where

_DIGITS = 6  # of a score: the precision of float32


class Hit(NamedTuple):
    """A target that was found; `columns` are its values of further columns, by their names."""

    id: str
    text: str
    score: float
    columns: Mapping[str, str] = {}  # never changed; a read-only proxy cannot be pickled

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        columns = dict(self.columns)
        return {"id": self.id, "text": self.text, "score": round(self.score, _DIGITS), "columns": columns}


@dataclass(frozen=True)
class Origin:
    """The model that an index was encoded with.

    Attributes:
      model: its name, for people.
      fingerprint: of encoder, parameters and tokeniser (see `LoadedModel.fingerprint`): token embeddings of two models
        with one fingerprint are the same.
      max_tokens: length to which the targets were truncated.
      scorer: of the model. An index whose scorer pools targets holds only their means.
    """

    model: str
    fingerprint: str
    max_tokens: int
    scorer: ScorerSettings


@runtime_checkable
class Searchable(Protocol):
    """n targets that were encoded by one model."""

    @property
    def origin(self) -> Origin:
        """The model."""
        ...

    @property
    def columns(self) -> Collection[str]:
        """Names of the further columns."""
        ...

    def __len__(self) -> int: ...

    def count(self, where: Where = None) -> int:
        """Counts the targets that match a filter.

        Raises:
          FilterError: no target has a column or a value of the filter.
        """
        ...

    def search(self, queries: RaggedTokens, top_k: int, scorer: ScorerSettings, where: Where = None) -> list[list[Hit]]:
        """Returns the best targets of every query, best first, equal scores in the order of the targets.

        Args:
          queries: raw token embeddings of q texts, by the model of `origin`.
          top_k: hits per query; all targets where there are fewer.
          scorer: as of `LoadedModel.scorer`.
          where: only targets that match are ranked: by column one value, or alternatives.

        Raises:
          FilterError: as of `count`.
        """
        ...
