"""Interface of everything that can be ranked against: an index in memory, or one in a vector store."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

from uwe_jax.config import ScorerSettings
from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.retrieval.settings import DEFAULT, RankSettings
from uwe_jax.retrieval.store.columns import Where
from uwe_jax.retrieval.store.names import Name

_DIGITS = 6  # of a score: the precision of float32


class Hit(NamedTuple):
    """A target that was found.

    Attributes:
      id: of the target.
      text: its label.
      score: of the target; see `uwe_jax.scoring.names` for one with several names.
      columns: its values of further columns, by their names.
      name: the name that matched best; "" where it is the label.
      exact: whether the query equals that name up to case, hyphens and plural s. Such targets rank above all others.
      role: of that name: "" of the label, "alternative" or "description".
      words: the part of the score that words in common add; 0 where rankings are by the model alone.
      probability: that the target is right, by the calibration of the index; None where it has none for this model.
    """

    id: str
    text: str
    score: float
    columns: Mapping[str, str] = {}  # never changed; a read-only proxy cannot be pickled
    name: str = ""
    exact: bool = False
    role: str = ""
    words: float = 0.0
    probability: float | None = None

    @property
    def matched(self) -> str:
        """The name that matched best, be it the label."""
        return self.name or self.text

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        numbers = {name: getattr(self, name) for name in ("score", "words", "probability")}
        rounded = {name: value if value is None else round(value, _DIGITS) for name, value in numbers.items()}
        return {**self._asdict(), **rounded, "columns": dict(self.columns)}


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

    def names_of(self, target: str) -> list[Name]:
        """Returns the names of the target with an id, and their roles, the label first.

        Raises:
          UserError: there is no such target.
        """
        ...

    def columns_of(self, target: str) -> Mapping[str, str]:
        """Returns the values of the target with an id in the further columns, by their names.

        Raises:
          UserError: there is no such target.
        """
        ...

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
        """Returns the best targets of every query, best first, equal scores in the order of the targets.

        Targets with a name that equals the query up to case, hyphens and plural s come first.

        Args:
          queries: raw token embeddings of q texts, by the model of `origin`.
          top_k: hits per query; all targets where there are fewer.
          scorer: as of `LoadedModel.scorer`.
          where: only targets that match are ranked: by column one value, or alternatives.
          texts: of the queries; without them no name is exact.
          how: settings; `how.words` needs `texts`.

        Raises:
          FilterError: as of `count`.
        """
        ...
