"""Scorers as written on a command line, such as `soft,logits=dot,tau_a=0.1`."""

from __future__ import annotations

from uwe_jax.config import ScorerSettings
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.settings import did_you_mean

# Settings that each scorer reads.
SCORER_OPTIONS = {
    "mean_pool": (),
    "soft": ("logits", "tau_a", "reduce"),
    "soft_pooled": ("logits", "tau_a"),
    "max_sim": ("reduce",),
}


def parse_scorer(text: str) -> ScorerSettings:
    """Parses a scorer; options that are not given have their defaults, and invalid ones raise UserError.

    >>> parse_scorer("soft,logits=dot,tau_a=0.1").tau_a
    0.1
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
            values[key] = float(value) if key == "tau_a" else value
        except ValueError as error:
            raise UserError(f"Scorer {text!r}: {key} is {value!r}; it must be a number.") from error
    return ScorerSettings(kind=kind, **values)  # type: ignore[arg-type]  # checked key by key


def scorer_text(settings: ScorerSettings, tau_a: float | None = None) -> str:
    """Formats settings for `parse_scorer`, with a learned `tau_a` instead of the setting if given.

    >>> scorer_text(ScorerSettings(kind="mean_pool")), scorer_text(ScorerSettings(logits="dot"), 0.12)
    ('mean_pool', 'soft,logits=dot,tau_a=0.12')
    """
    given = {"logits": settings.logits, "tau_a": settings.tau_a if tau_a is None else tau_a, "reduce": settings.reduce}
    defaults = ScorerSettings()
    changed = [key for key in SCORER_OPTIONS[settings.kind] if given[key] != getattr(defaults, key)]
    return ",".join([settings.kind, *(f"{key}={given[key]}" for key in changed)])
