"""The calibration of an index: probabilities that its hits are right, for one model and one way to rank."""

from __future__ import annotations

import functools
import itertools
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from uwe_jax.retrieval.settings import RankSettings
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import write_json
from uwe_jax.runtime.json_file import read_json
from uwe_jax.runtime.settings import from_mapping, within
from uwe_jax.scoring.calibration import IN_CONTEXT, Platt
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
_CHANGED = 0.1  # share by which the number of targets may differ from when it was fitted


@dataclass(frozen=True)
class Subject:
    """What a calibration is fitted for.

    Attributes:
      model: name, for people.
      fingerprint: of the model.
      scorer: of the model, with its sides and temperatures.
      max_tokens: of a text.
      label_weight, words, clean_queries: see `RankSettings`; `label_weight` is 1 where no target has several names.
      names: whether targets have several names.
      targets: of the index.
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

    @property
    def settings(self) -> RankSettings:
        """The settings of the rankings."""
        return RankSettings(self.label_weight, self.words, self.clean_queries)

    @classmethod
    def of(cls, origin: Origin, how: RankSettings, targets: int, names: bool) -> Subject:
        """Takes it from a model, its settings and its targets."""
        weight = how.label_weight if names else 1.0
        model = (origin.model, origin.fingerprint, scorer_text(origin.scorer, digits=4), origin.max_tokens)
        return cls(*model, weight, how.words, how.clean_queries, names, targets)

    def unlike(self, other: Subject) -> str:
        """Returns the first difference to what is ranked now, `other`, as a phrase; "" where there is none."""
        for name in ("fingerprint", "scorer", "max_tokens", "names", "label_weight", "words", "clean_queries"):
            if (there := getattr(self, name)) != (here := getattr(other, name)):
                return (
                    f"its {name} is {there}{f' ({self.model})' if name == 'fingerprint' else ''}, and here it is {here}"
                )
        if abs(other.targets - self.targets) > _CHANGED * self.targets:
            return f"it was fitted for {self.targets:,} targets, and there are {other.targets:,} now"
        return ""


@dataclass(frozen=True)
class Point:
    """Values of `operating_point`, measured on queries that were not fitted on."""

    probability: float
    hits: int
    precision: float
    recall: float
    f1: float
    coverage: float
    none_wrong: float


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
        """How many hits beyond those that are asked for are needed, for the gap to the next one."""
        return int(self.platt.features == IN_CONTEXT)

    def add(self, hits: Sequence[Hit], top_k: int) -> list[Hit]:
        """Returns the first `top_k` hits of a query with their probabilities, given `more` of them."""
        found = self.platt(np.array([hit.score for hit in hits]))
        return [hit._replace(probability=float(p)) for hit, p in zip(hits, found, strict=True)][:top_k]

    def at(self, probability: float) -> Point:
        """Returns the highest measured threshold that is not above a probability, else the lowest."""
        return next((each for each in reversed(self.points) if each.probability <= probability), self.points[0])

    def threshold(self, precision: float) -> Point:
        """Returns the lowest threshold from which on precision was at least as asked for, as far as hits suffice.

        Raises:
          UserError: none has it; it says which precision is the highest.
        """
        known = [point for point in self.points if point.hits >= _MIN_HITS]
        above = [*itertools.takewhile(lambda point: point.precision >= precision, reversed(known))]
        if above:
            return above[-1]
        last = (known or self.points)[-1]
        raise UserError(
            f"No threshold has a precision of {precision}: at probability {last.probability}, the highest that "
            f"{last.hits:,} hits reach, it was {last.precision:.2f}. Ask for less, calibrate on more "
            "judgements, or use a better model."
        )


def calibration_of(space: Any, origin: Origin, how: RankSettings) -> tuple[Calibration | None, str]:
    """Returns the calibration of an index where it holds for a model and its settings, else why there is none."""
    held = getattr(space, "calibration", None)
    remedy = "Fit one with `uwe-jax calibrate`"
    if held is None:
        return None, f"the index has no calibration. {remedy} for an index on disk, or use min_score."
    now = Subject.of(origin, how, len(space), space.starts is not None)
    if different := held.subject.unlike(now):
        return (
            None,
            f"the calibration of the index does not hold here: {different}. {remedy}, or rank as it was fitted.",
        )
    return held, ""


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
    elif why and getattr(space, "calibration", None) is not None:
        _warn(f"{before}Hits have no probabilities: {why}")


def searched(
    space: Searchable,
    queries: RaggedTokens,
    top_k: int,
    origin: Origin,
    how: RankSettings,
    where: Where,
    texts: Sequence[str],
) -> tuple[list[list[Hit]], Calibration | None]:
    """Searches an index, and adds probabilities where its calibration holds, which is returned too."""
    held = calibration_of(space, origin, how)[0]
    found = space.search(queries, top_k + (held.more if held else 0), origin.scorer, where, texts=texts, how=how)
    return [held.add(row, top_k) for row in found] if held else found, held


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
    content = read_json(path, remedy)
    form = content.pop("format", None), content.pop("version", None)
    if form != (FORMAT, VERSION):
        raise UserError(f"{path} has the format and version {form}; this uwe_jax reads {(FORMAT, VERSION)}. {remedy}")
    try:
        return from_mapping(Calibration, content)
    except (UserError, TypeError) as error:
        raise UserError(f"{path} is not a calibration, or damaged: {error} {remedy}") from error


def write_calibration(folder: Path, calibration: Calibration) -> None:
    """Writes the calibration of an index into its folder; replaces an earlier one atomically."""
    write_json(folder / FILE, {"format": FORMAT, "version": VERSION, **asdict(calibration)})
