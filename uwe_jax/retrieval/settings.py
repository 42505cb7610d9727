"""Settings of rankings beside the model's scorer."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypedDict

from uwe_jax.runtime.settings import within
from uwe_jax.scoring.names import DESCRIPTION_WEIGHT, LABEL_WEIGHT, NameWeights

if TYPE_CHECKING:
    from uwe_jax.retrieval.store.columns import Where  # pyarrow is slow to import, and commands read options from here

# Of the parts of a score.
WEIGHTS = ("label_weight", "description_weight", "words")


def weights_within(options: Any) -> None:
    """Checks the weights among the options of a command.

    Raises:
      UserError: a weight is not between 0 and 1.
    """
    for name in WEIGHTS:
        within(f"--{name.replace('_', '-')}", getattr(options, name), 0, 1)


@dataclass(frozen=True)
class RankSettings:
    """Settings of rankings.

    Attributes:
      label_weight: of the label's score in that of a target with several names, 0 to 1; see `uwe_jax.scoring.names`.
      description_weight: of the best description's score in that of a target with descriptions, 0 to 1.
      words: weight of words in common with a name in its score, 0 to 1; see `uwe_jax.scoring.words`.
      clean_queries: score queries without bullets, gender markers and final full stops, see
        `uwe_jax.data.text.without_marks`.
      candidates: targets per query that are scored exactly, at least as many as hits: those whose names have the best
        mean embeddings, see `uwe_jax.ranking.candidates`. None scores all, and in Qdrant its index's own number.

    Raises:
      UserError: a weight is not between 0 and 1, or there is no candidate.
    """

    label_weight: float = LABEL_WEIGHT
    description_weight: float = DESCRIPTION_WEIGHT
    words: float = 0.0
    clean_queries: bool = True
    candidates: int | None = None

    def __post_init__(self) -> None:
        for name in WEIGHTS:
            within(name, getattr(self, name), 0, 1)
        within("candidates", 1 if self.candidates is None else self.candidates, 1)

    @property
    def weights(self) -> NameWeights:
        """The weights in the score of a target with several names."""
        return NameWeights(self.label_weight, self.description_weight)

    @classmethod
    def of(cls, options: Any) -> RankSettings:
        """Takes the settings from the options of a command, which have their names."""
        return cls(**{setting.name: getattr(options, setting.name) for setting in fields(cls)})


class Only(TypedDict, total=False):
    """Limits of a ranking, as keywords.

    Attributes:
      where: ranks only the targets whose further columns have a value, as {"family": "logistics"}, or one of several,
        as {"family": ["logistics", "food"]}; every column must match.
      min_score: least score of a hit.
      min_probability: least probability of a hit, of an index that is calibrated. A query none of whose hits reach it
        has no hits; `Hits.none` says how near the best came.
    """

    where: Where
    min_score: float | None
    min_probability: float | None


DEFAULT = RankSettings()
