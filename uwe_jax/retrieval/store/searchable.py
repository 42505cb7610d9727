"""What can be ranked against: a target space here, or one that an engine holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from uwe_jax.config import ScorerSettings
from uwe_jax.ranking.ragged import RaggedTokens


class Hit(NamedTuple):
    """A target that was found."""

    id: str
    text: str
    score: float


@dataclass(frozen=True)
class Origin:
    """Which model a space was encoded with.

    Attributes:
      model: its name, for people.
      fingerprint: of encoder, parameters and tokeniser (see `LoadedModel.fingerprint`): token embeddings of two models
        with one fingerprint are the same.
      max_tokens: at which the targets were cut.
      scorer: that the model scores with. A space whose scorer pools targets holds nothing but their means.
    """

    model: str
    fingerprint: str
    max_tokens: int
    scorer: ScorerSettings


@runtime_checkable
class Searchable(Protocol):
    """Targets that were encoded by one model."""

    @property
    def origin(self) -> Origin:
        """The model."""
        ...

    def __len__(self) -> int:
        """n, the number of targets."""
        ...

    def search(self, queries: RaggedTokens, top_k: int, scorer: ScorerSettings) -> list[list[Hit]]:
        """The best targets of every query, best first, equal scores in the order of the targets.

        Args:
          queries: raw token embeddings of q texts, by the model of `origin`.
          top_k: hits of a query; all targets where there are fewer.
          scorer: as of `LoadedModel.scorer`.
        """
        ...
