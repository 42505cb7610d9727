"""Recognises sentences without a skill, such as those on a company, its benefits or equal opportunities.

p = 1 / (1 + exp(-(b + w · x))), where x is the mean of a sentence's token embeddings at length 1: logistic regression
for one encoder. Filters for the models that uwe_jax measures come with it, see docs/vacancies.md.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import expit

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import write_json
from uwe_jax.runtime.json_file import read_json
from uwe_jax.runtime.settings import versioned, within
from uwe_jax.scoring.calibration import separation

FORMAT = "uwe_jax skill filter"
NO_REQUIREMENT = "The query is taken for no requirement"
VERSION = 1
SHIPPED = Path(__file__).parent / "filters"
_INVERSE_STRENGTH = 3.0  # of the regularisation; 1 to 30 differ by less than a point of the area under the curve
_DIGITS = 5
_FIT = "Fit one with `uwe-jax calibrate --sentences FILE --model MODEL --out FILTER`"


@dataclass(frozen=True)
class SkillFilter:
    """A fitted filter.

    Attributes:
      model: name, for people.
      fingerprints: of the models with these embeddings.
      origin: of the sentences that it was fitted to.
      sentences: number of them.
      with_skill: how many of them have a skill.
      area: under the ROC curve, on sentences not fitted on.
      kept: share of the sentences with a skill, not fitted on, that reach the threshold.
      dropped: share of those without a skill that do not.
      threshold: least probability of a sentence that is taken to have a skill.
      bias: b.
      weights: w.
    """

    model: str
    fingerprints: tuple[str, ...]
    origin: str
    sentences: int
    with_skill: int
    area: float
    kept: float
    dropped: float
    threshold: float
    bias: float
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        within("threshold", self.threshold, 0, 1)
        if not self.weights or not np.isfinite([*self.weights, self.bias]).all():
            raise UserError(f"there are {len(self.weights)} weights; expected one per dimension, all finite.")

    def probabilities(self, means: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        """Returns the probability that a sentence has a skill, given its mean embedding (`Ranker.encode`)."""
        return np.asarray(expit(self.bias + means @ np.array(self.weights)))

    def keeps(self, ranker: Any, texts: Sequence[str]) -> Bool[np.ndarray, " n"]:
        """Returns which texts are taken to have a skill, by the embeddings of a ranker that `check` accepts."""
        return self.probabilities(ranker.encode(list(texts))) >= self.threshold

    def refused(self, ranker: Any, texts: Sequence[str]) -> dict[str, str]:
        """Returns a sentence on each text that is taken to have no skill; `ranker` as of `keeps`."""
        p = self.probabilities(ranker.encode(list(texts))) if texts else ()
        return {
            text: f"{NO_REQUIREMENT}: its probability of having a skill is {each:.2f}, below "
            f"{self.threshold:g} (--skill-filter)."
            for text, each in zip(texts, p, strict=True)
            if each < self.threshold
        }

    def check(self, ranker: object, name: str) -> None:
        """Raises UserError unless the filter is for a ranker, or a model of the same embeddings."""
        found = _fingerprint(ranker)
        if found not in self.fingerprints:
            has = f"its fingerprint is {found}" if found else "it has no embeddings"
            raise UserError(
                f"The skill filter is of {self.model} (fingerprint {', '.join(self.fingerprints)}), not of {name}: "
                f"{has}. {_FIT}, or give --skill-filter none."
            )


def _fingerprint(ranker: object) -> str:
    return str(ranker.origin.fingerprint) if hasattr(ranker, "origin") else ""


def shipped_filter(ranker: object) -> SkillFilter | None:
    """Returns the filter that comes with uwe_jax for a ranker's embeddings; None where there is none."""
    found = _fingerprint(ranker)
    return next((each for each in _shipped() if found in each.fingerprints), None)


def filter_in(option: str) -> SkillFilter | None:
    """Reads the filter of `--skill-filter FILE`; None for `shipped`, which needs a model, and `none`."""
    return None if option in ("shipped", "none") else read_filter(Path(option).expanduser())


@functools.cache
def _shipped() -> list[SkillFilter]:
    return [read_filter(path) for path in sorted(SHIPPED.glob("*.json"))]


def chosen_filter(given: SkillFilter | None, option: str, ranker: Any) -> SkillFilter | None:
    """Returns the filter of `--skill-filter` for a ranker, `given` by `filter_in` or the one that comes along.

    Raises:
      UserError: it is of another model, or none comes along for this one.
    """
    found = given or (shipped_filter(ranker) if option == "shipped" else None)
    if found:
        found.check(ranker, ranker.name)
    elif option == "shipped":
        raise UserError(f"--skill-filter shipped: no filter comes with uwe_jax for {ranker.name}. {_FIT}.")
    return found


def fit_filter(
    means: Float[np.ndarray, "n d"],
    has_skill: Bool[np.ndarray, " n"],
    part: Int[np.ndarray, " n"],
    group: Int[np.ndarray, " n"],
    *,
    keep: float,
    model: str,
    fingerprints: Sequence[str],
    origin: str,
) -> SkillFilter:
    """Fits a filter; parts weigh the same, and in each of them sentences with and without a skill.

    It is measured on sentences not fitted on: each of four folds of the groups is predicted by the others.

    Args:
      means: of the n sentences, as `Ranker.encode` returns them.
      has_skill: whether a sentence has one.
      part: number of the corpus of a sentence.
      group: number of the document of a sentence, whose sentences are in one fold.
      keep: share of the sentences with a skill that reach the threshold.
      model, fingerprints, origin: as of `SkillFilter`.
    """
    weight = np.zeros(len(part))
    for each in set(part.tolist()):
        for value in (False, True):
            inside = (part == each) & (has_skill == value)
            weight[inside] = 1 / max(1, inside.sum())
    weight *= len(weight) / weight.sum()
    _, group = np.unique(group, return_inverse=True)
    fold = np.random.default_rng(0).permutation(group.max() + 1)[group] % 4
    p = np.empty(len(part))
    for each in range(4):
        test = fold == each
        weights, bias = _logistic(means[~test], has_skill[~test], weight[~test])
        p[test] = expit(bias + means[test] @ weights)
    order = np.argsort(p[has_skill])
    mass = np.cumsum(weight[has_skill][order])
    threshold = float(p[has_skill][order][np.searchsorted(mass, (1 - keep) * mass[-1])])
    shares = [float(np.average(p[each] >= threshold, weights=weight[each])) for each in (has_skill, ~has_skill)]
    weights, bias = _logistic(means, has_skill, weight)
    return SkillFilter(
        model=model,
        fingerprints=tuple(fingerprints),
        origin=origin,
        sentences=len(part),
        with_skill=int(has_skill.sum()),
        area=round(separation(p, has_skill) or 0.0, 4),
        kept=round(shares[0], 4),
        dropped=round(1 - shares[1], 4),
        threshold=round(threshold, 4),
        bias=round(bias, _DIGITS),
        weights=tuple(np.round(weights, _DIGITS).tolist()),
    )


def _logistic(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, float]:
    # imported lazily: most commands do not need it
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=_INVERSE_STRENGTH, max_iter=3000).fit(x, y, sample_weight=weight)
    return fitted.coef_[0], float(fitted.intercept_[0])


def read_filter(path: Path) -> SkillFilter:
    """Reads a filter; UserError where it is missing, damaged or of a newer format."""
    remedy = f"{_FIT}."
    return versioned(SkillFilter, read_json(path, remedy), (FORMAT, VERSION), str(path), remedy)


def write_filter(path: Path, fitted: SkillFilter) -> None:
    """Writes a filter, atomically."""
    write_json(path, {"format": FORMAT, "version": VERSION, **asdict(fitted)})
