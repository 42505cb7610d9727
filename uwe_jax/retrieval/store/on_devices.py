"""Names of an index on the devices, kept for one scorer: a second copy may not fit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from uwe_jax.config import ScorerSettings
from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.scoring.names import NamePlaces


@dataclass(frozen=True, eq=False)
class OnDevices:
    """Keeps what is built of the names' tokens; the parts that import jax are imported when they are built."""

    tokens: Callable[[], RaggedTokens]  # of all names
    places: NamePlaces
    _building: threading.Lock = field(default_factory=threading.Lock)
    _built: dict[tuple[str, ScorerSettings], Any] = field(default_factory=dict)

    def all(self, scorer: ScorerSettings) -> Any:
        """Returns all names as a `uwe_jax.ranking.target_space.TargetSpace`; raises UserError where there are none."""
        from uwe_jax.ranking.target_space import TargetSpace

        return self._kept("all", scorer, lambda settings: TargetSpace.build(self.tokens(), settings))

    def candidates(self, scorer: ScorerSettings) -> Any:
        """Returns the names as a `uwe_jax.ranking.candidates.CandidateSpace`; None where the scorer pools targets."""
        from uwe_jax.ranking.candidates import CandidateSpace
        from uwe_jax.scoring.ragged import is_pooled

        if is_pooled(scorer.kind, query=False):
            return None
        return self._kept("candidates", scorer, lambda settings: CandidateSpace(self.tokens(), self.places, settings))

    def _kept(self, what: str, scorer: ScorerSettings, build: Callable[[ScorerSettings], Any]) -> Any:
        from uwe_jax.scoring.ragged import formula

        key = what, formula(scorer)
        with self._building:
            if key not in self._built:
                self._built.clear()
                self._built[key] = build(key[1])
            return self._built[key]
