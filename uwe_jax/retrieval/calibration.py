"""The calibration of an index: probabilities that its hits are right, for one model and one way to rank.

An index has its own, as a file in its folder, or one that comes with uwe_jax for a model and targets such as these.
"""

from __future__ import annotations

import functools
import itertools
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from uwe_jax.retrieval.settings import WEIGHTS, RankSettings
from uwe_jax.retrieval.sketch import in_common
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import write_json
from uwe_jax.runtime.json_file import read_json
from uwe_jax.runtime.settings import versioned, within
from uwe_jax.scoring.calibration import IN_CONTEXT, Platt, half_width
from uwe_jax.scoring.scorer_text import scorer_text

if TYPE_CHECKING:
    from uwe_jax.ranking.ragged import RaggedTokens
    from uwe_jax.retrieval.store.columns import Where
    from uwe_jax.retrieval.store.searchable import Hit, Origin, Searchable

LOG = logging.getLogger(__name__)
FILE = "calibration.json"
FORMAT = "uwe_jax calibration"
VERSION = 1
_MIN_HITS = 20  # that a precision is measured on
_PRIOR = 100  # hits that the expectation of a map is worth beside the precision of measured ones
COMMON = 0.8  # share of the names of the targets that must be the same as when it was fitted
_SHIPPED = Path(__file__).parent / "calibrations"
RAW_SCORE = (
    "Scores order the targets of one query: they are not probabilities, and do not compare between queries, models or "
    "scorers."
)


@dataclass(frozen=True)
class Subject:
    """Names what a calibration is fitted for.

    Attributes:
      model: name, for people.
      fingerprint: of the model.
      scorer: of the model, with its sides and temperatures.
      max_tokens: of a text.
      label_weight, description_weight, words, clean_queries: see `RankSettings`; `label_weight` is 1 where no target
        has several names, and `description_weight` 0 where none has a description.
      names: whether targets have several names.
      targets: number of them.
      sketch: of all names, by which other targets are told from these (`uwe_jax.retrieval.sketch`).
    """

    model: str
    fingerprint: str
    scorer: str
    max_tokens: int
    label_weight: float
    words: float
    clean_queries: bool
    names: bool
    targets: int
    sketch: tuple[str, ...]
    description_weight: float = 0.0

    @property
    def settings(self) -> RankSettings:
        """The settings of the rankings."""
        return RankSettings(self.label_weight, self.description_weight, self.words, self.clean_queries)

    @classmethod
    def of(
        cls,
        origin: Origin,
        how: RankSettings,
        targets: int,
        names: bool,
        sketch: tuple[str, ...],
        descriptions: bool = False,
    ) -> Subject:
        """Takes it from a model, its settings and its targets."""
        weight = how.label_weight if names else 1.0
        model = (origin.model, origin.fingerprint, scorer_text(origin.scorer, digits=4), origin.max_tokens)
        described = how.description_weight if descriptions else 0.0
        return cls(*model, weight, how.words, how.clean_queries, names, targets, sketch, described)

    @classmethod
    def of_index(cls, space: Any, origin: Origin, how: RankSettings) -> Subject:
        """Takes it from an index, too."""
        return cls.of(origin, how, len(space), space.several, space.sketch, space.described)

    def unlike(self, other: Subject) -> str:
        """Returns the first difference to what is ranked now, `other`, as a phrase; "" where there is none."""
        for name in ("fingerprint", "scorer", "max_tokens", "names", *WEIGHTS, "clean_queries"):
            if (there := getattr(self, name)) != (here := getattr(other, name)):
                return (
                    f"its {name} is {there}{f' ({self.model})' if name == 'fingerprint' else ''}, and here it is {here}"
                )
        if (share := in_common(self.sketch, other.sketch)) < COMMON:
            return (
                f"it was fitted for {self.targets:,} targets, there are {other.targets:,} here, and {share:.0%} of all "
                f"their names are the same; at least {COMMON:.0%} must be"
            )
        return ""


@dataclass(frozen=True)
class Point:
    """Values of `operating_point`, measured on queries that were not fitted on."""

    probability: float
    hits: int
    expected: float
    precision: float
    recall: float
    f1: float
    coverage: float
    none_wrong: float

    @property
    def estimate(self) -> float:
        """Returns the precision to expect of other queries' hits: that of the map, corrected by the measured hits.

        It is the mean of a Beta distribution, whose prior is worth `_PRIOR` hits: few hits have a high probability.
        """
        return (_PRIOR * self.expected + self.hits * self.precision) / (_PRIOR + self.hits)

    def __str__(self) -> str:
        half = half_width(self.hits, self.precision)
        return (
            f"of {self.hits:,} held-out hits of probability {self.probability:g} or more {self.precision:.0%} were "
            f"right (95 % interval: {half:.0%} to either side)"
        )


@dataclass(frozen=True)
class Calibration:
    """A fitted calibration.

    Attributes:
      subject: what it holds for.
      platt: from scores to probabilities.
      origin: of the judgements.
      queries, hits, right: numbers of them that it was fitted on.
      depth: hits per query.
      error: expected calibration error on queries not fitted on.
      points: what thresholds are worth there, by ascending probability.
    """

    subject: Subject
    platt: Platt
    origin: str
    queries: int
    hits: int
    right: int
    depth: int
    error: float
    points: tuple[Point, ...]

    def __post_init__(self) -> None:
        if not self.points:
            raise UserError("points are empty.")

    @property
    def more(self) -> int:
        """Returns how many hits beyond those that are asked for are needed, for the gap to the next one."""
        return int(self.platt.features == IN_CONTEXT)

    def add(self, hits: Sequence[Hit], top_k: int) -> list[Hit]:
        """Returns the first `top_k` hits of a query with their probabilities, given `more` of them."""
        found = self.platt(np.array([hit.score for hit in hits]))
        return [hit._replace(probability=float(p)) for hit, p in zip(hits, found, strict=True)][:top_k]

    def at(self, probability: float) -> Point:
        """Returns the highest measured threshold that is not above a probability, else the lowest."""
        return next((each for each in reversed(self.points) if each.probability <= probability), self.points[0])

    def threshold(self, precision: float) -> Point:
        """Returns the lowest threshold from which on the estimated precision is as asked for, as far as hits suffice.

        Raises:
          UserError: none has it; it says which precision is the highest.
        """
        known = [point for point in self.points if point.hits >= _MIN_HITS] or self.points[:1]
        above = [*itertools.takewhile(lambda point: point.estimate >= precision, reversed(known))]
        if above:
            return above[-1]
        last = known[-1]
        raise UserError(
            f"No threshold has a precision of {precision:g}: at probability {last.probability:g}, the highest that "
            f"{last.hits:,} held-out hits reach, {last.precision:.2f} was measured, and {last.estimate:.2f} is "
            "expected. Ask for less, calibrate on more judgements, or use a better model."
        )

    def __str__(self) -> str:
        subject, names = self.subject, " with their names" if self.subject.names else ""
        scorer = "" if subject.model.endswith(f" {subject.scorer}") else f" ({subject.scorer})"
        return (
            f"for {subject.model}{scorer} and {subject.targets:,} targets{names}, fitted to "
            f"{self.queries:,} queries: {self.origin}"
        )


def calibration_of(space: Any, origin: Origin, how: RankSettings) -> tuple[Calibration | None, str]:
    """Returns the calibration of an index where it holds for a model and its settings, else why there is none."""
    held = getattr(space, "calibration", None)
    known = (held,) if held else tuple(each for each in shipped() if each.subject.fingerprint == origin.fingerprint)
    remedy = "Fit one with `uwe-jax calibrate`"
    none = f"the index has no calibration. {remedy} for an index on disk, or use min_score."
    if not known or not hasattr(space, "sketch"):
        return None, none
    now = Subject.of_index(space, origin, how)
    different = {each: each.subject.unlike(now) for each in known}
    if found := next((each for each, why in different.items() if not why), None):
        return found, ""
    if held:
        why = f"the calibration of the index does not hold here: {different[held]}"
        return None, f"{why}. {remedy}, or rank as it was fitted."
    near = max(known, key=lambda each: in_common(each.subject.sketch, now.sketch))
    if in_common(near.subject.sketch, now.sketch) < COMMON:
        return None, none
    return None, f"the calibration that comes with uwe_jax does not hold here: {different[near]}. {remedy}."


@functools.cache
def shipped() -> tuple[Calibration, ...]:
    """Reads the calibrations that come with uwe_jax."""
    return tuple(map(read_calibration_file, sorted(_SHIPPED.glob("*.json"))))


def check_calibrated(
    space: Any, origin: Origin, how: RankSettings, place: str = "", min_probability: float | None = None
) -> None:
    """Raises UserError unless an index, at a place, has the probabilities that a threshold needs.

    Without a threshold a calibration that does not hold gives a warning, once.
    """
    why = calibration_of(space, origin, how)[1]
    before = f"{place}: " if place else ""
    if min_probability is not None:
        within(f"{before}min_probability", min_probability, 0, 1)
        if why:
            raise UserError(f"{before}min_probability needs probabilities, but {why}")
    elif "does not hold" in why:
        _warn(f"{before}Hits have no probabilities: {why}")


def note_calibration(space: Any, origin: Origin, how: RankSettings, place: str, *, raw: bool = True) -> None:
    """Logs in one line which probabilities the hits of an index, at a place, have, or, if `raw`, what scores mean."""
    held = calibration_of(space, origin, how)[0]
    own = getattr(space, "calibration", None) is not None
    whose = "of the index" if own else "that comes with uwe_jax"
    if held or raw:
        LOG.info(f"{place}: {f'probabilities by the calibration {whose}, {held}.' if held else RAW_SCORE}")


def searched(
    space: Searchable,
    queries: RaggedTokens,
    top_k: int,
    origin: Origin,
    how: RankSettings,
    where: Where,
    texts: Sequence[str],
) -> tuple[list[list[Hit]], Calibration | None, int]:
    """Searches an index, and adds probabilities where its calibration holds.

    Returns:
      The hits of every query, the calibration, and the number of targets that were ranked.
    """
    held = calibration_of(space, origin, how)[0]
    found = space.search(queries, top_k + (held.more if held else 0), origin.scorer, where, texts=texts, how=how)
    total = space.count(where) if where else len(space)
    return [held.add(row, top_k) for row in found] if held else found, held, total


@functools.cache
def _warn(text: str) -> None:
    LOG.warning(text)


def read_calibration(folder: Path) -> Calibration | None:
    """Reads the calibration of the index in a folder; None where there is none.

    Raises:
      UserError: the file is damaged, or of a newer format.
    """
    path = folder / FILE
    return read_calibration_file(path) if path.exists() else None


def read_calibration_file(path: Path) -> Calibration:
    """Reads a calibration from its file; errors as of `read_calibration`."""
    remedy = "Delete it, or write it again with `uwe-jax calibrate`."
    return calibration_from(read_json(path, remedy), str(path), remedy)


def calibration_from(content: dict[str, Any], where: str, remedy: str) -> Calibration:
    """Reads a calibration from the content of its file; errors, as of `read_calibration`, name where it is."""
    return versioned(Calibration, content, (FORMAT, VERSION), where, remedy)


def content_of(calibration: Calibration) -> dict[str, Any]:
    """Returns the content of a calibration's file."""
    return {"format": FORMAT, "version": VERSION, **asdict(calibration)}


def write_calibration(folder: Path, calibration: Calibration) -> None:
    """Writes the calibration of an index into its folder; replaces an earlier one atomically."""
    write_json(folder / FILE, content_of(calibration))
