"""The calibration that gives a tagging its threshold: that of an index, or one that comes with uwe_jax."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from uwe_jax.retrieval.calibration import COMMON, FILE, Calibration, Subject, shipped
from uwe_jax.retrieval.sketch import in_common, sketch
from uwe_jax.retrieval.store.folder import calibration_in
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.taxonomy import Taxonomy


def find_calibration(place: Path | None, model: str, taxonomy: Taxonomy, *, aliases: bool) -> Calibration:
    """Returns the calibration of an index, or one that comes with uwe_jax, chosen by the model's name and the skills.

    Whether it holds is known once the model is loaded, see `check_holds`.

    Args:
      place: folder of the index; None takes one that comes with uwe_jax.
      model: its name, as of `uwe-jax tag`.
      taxonomy: skills that are ranked.
      aliases: rank them by all their names.

    Raises:
      UserError: there is none.
    """
    if place is not None:
        if (held := calibration_in(place)) is None:
            raise UserError(f"{place} has no {FILE}. Fit one with `uwe-jax calibrate --index INDEX`.")
        return held
    several, texts = _names(taxonomy, aliases)
    here = sketch(texts)
    for held in shipped():
        about = held.subject
        alike = about.model == model.replace(":", " ") and about.names == several
        if alike and in_common(about.sketch, here) >= COMMON:
            return held
    known = ", ".join(sorted({each.subject.model.replace(" ", ":") for each in shipped()}))
    raise UserError(
        f"--precision: no calibration comes with uwe_jax for {model} and these skills, only for {known} and ESCO's. "
        "Give --calibration, the folder of an index that `uwe-jax calibrate` has calibrated for the model, or "
        "--threshold."
    )


def check_holds(
    held: Calibration, place: Path | None, ranker: Any, model: str, taxonomy: Taxonomy, *, aliases: bool
) -> None:
    """Raises UserError unless a calibration was fitted for this model and such skills; arguments as above."""
    if not hasattr(ranker, "origin"):
        raise UserError(f"--calibration is of {held.subject.model}; {model} has no probabilities.")
    several, texts = _names(taxonomy, aliases)
    now = Subject.of(ranker.origin, held.subject.settings, len(taxonomy.skills), several, sketch(texts))
    if different := held.subject.unlike(now):
        whose = f"in {place}" if place else "that comes with uwe_jax"
        raise UserError(
            f"The calibration {whose} does not hold here: {different}. Tag as it was fitted (--model, --max-tokens, "
            "--aliases, --taxonomy), or calibrate an index of these skills."
        )


def _names(taxonomy: Taxonomy, aliases: bool) -> tuple[bool, list[str]]:
    """Returns whether skills are ranked by several names, and all names that are ranked."""
    several = aliases and any(skill.aliases for skill in taxonomy.skills)
    return several, [text for skill in taxonomy.skills for text in (skill.label, *(skill.aliases if several else ()))]
