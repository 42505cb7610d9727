"""Scorers as written on a command line, such as `soft,side=query,logits=dot,tau_a=0.1`, the paper's."""

from __future__ import annotations

from dataclasses import replace

from uwe_jax.config import SIDED, SIDES, ScorerSettings
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.settings import did_you_mean

# Settings that each scorer reads.
SCORER_OPTIONS = {
    "mean_pool": (),
    "soft": ("logits", "tau_a", "reduce", "side", "target_tau_a", "target_weight"),
    "soft_pooled": ("logits", "tau_a"),
    "max_sim": ("reduce", "side", "target_weight"),
}
# Of encoders' folders as sentence-transformers made them; its options name prompts or heads.
PUBLISHED = "published"
# Sides that an option of `soft` and `max_sim` is read for; all of them where it is not named here.
SIDES_OF = {"tau_a": ("query", "both"), "target_tau_a": ("target", "both"), "target_weight": ("both",)}
_NUMBERS = ("tau_a", "target_tau_a", "target_weight")


def is_read(option: str, settings: ScorerSettings) -> bool:
    """Tells whether a scorer reads an option, given its kind and side.

    >>> is_read("tau_a", ScorerSettings(side="target")), is_read("target_tau_a", ScorerSettings())
    (False, True)
    """
    if option not in SCORER_OPTIONS[settings.kind]:
        return False
    return settings.kind not in SIDED or settings.side in SIDES_OF.get(option, SIDES)


def loss_scorer(settings: ScorerSettings, side: str) -> ScorerSettings:
    """Returns the scorer of a loss whose scores are from a side (`loss.side`): "scorer" is that of rankings."""
    return settings if side == "scorer" else replace(settings, side=side)


def parse_scorer(text: str) -> ScorerSettings:
    """Parses a scorer; options that are not given have their defaults, and invalid ones raise UserError.

    >>> parse_scorer("soft,side=query,logits=dot,tau_a=0.1").side, parse_scorer("soft").side
    ('query', 'both')
    """
    kind, *options = text.split(",")
    if kind not in SCORER_OPTIONS:
        near = did_you_mean(kind, SCORER_OPTIONS)
        raise UserError(f"There is no scorer {kind!r}; available are {', '.join(SCORER_OPTIONS)}.{near}")
    values: dict[str, str | float] = {}
    for option in options:
        key, _, value = option.partition("=")
        if key not in SCORER_OPTIONS[kind]:
            known = ", ".join(f"{each}=..." for each in SCORER_OPTIONS[kind]) or "no option"
            raise UserError(f"Scorer {text!r}: {option!r} is not an option of {kind}, which takes {known}.")
        try:
            values[key] = float(value) if key in _NUMBERS else value
        except ValueError as error:
            raise UserError(f"Scorer {text!r}: {key} is {value!r}; it must be a number.") from error
    settings = ScorerSettings(kind=kind, **values)  # type: ignore[arg-type]  # checked key by key
    for key in values:
        if not is_read(key, settings):
            raise UserError(f"Scorer {text!r}: {key} is not read with side={settings.side}; remove it or change side.")
    return settings


def parse_published(text: str) -> dict[str, str]:
    """Parses the options of `published`: by side, the name of a prompt or a head.

    >>> parse_published("published,target=query")
    {'target': 'query'}
    """
    chosen = {}
    for option in text.split(",")[1:]:
        side, _, name = option.partition("=")
        if side not in ("query", "target") or not name:
            raise UserError(
                f"Scorer {text!r}: {option!r} is not an option of {PUBLISHED}, which takes query=NAME and target=NAME, "
                "names of prompts or heads of the encoder's folder."
            )
        chosen[side] = name
    return chosen


def scorer_text(settings: ScorerSettings, digits: int | None = None) -> str:
    """Formats settings for `parse_scorer`, numbers rounded to `digits` after the point if given.

    >>> scorer_text(ScorerSettings(kind="mean_pool")), scorer_text(ScorerSettings(logits="dot", tau_a=0.12))
    ('mean_pool', 'soft,logits=dot,tau_a=0.12')
    """
    given = {key: getattr(settings, key) for key in SCORER_OPTIONS[settings.kind] if is_read(key, settings)}
    if digits is not None:
        given |= {key: round(given[key], digits) for key in _NUMBERS if key in given}
    changed = [key for key, value in given.items() if value != getattr(ScorerSettings(), key)]
    return ",".join([settings.kind, *(f"{key}={given[key]}" for key in changed)])
