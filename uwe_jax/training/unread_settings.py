"""Settings that nothing reads beside the others of a run, in one table.

Whoever changes such a setting expects something of it, so it is refused. Those that a config file brings along for data
of another kind, or for a run that measures, are only reported.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from uwe_jax.config import COMBINED, Config
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.kinds import GRAPH_KINDS
from uwe_jax.scoring.scorer_text import SCORER_OPTIONS

Kinds = Collection[str]  # of the graphs


class _Rule(NamedTuple):
    """Settings, and when they are not read.

    Attributes:
      settings: their names, in full.
      unread: whether none of them is read.
      why: the reason, as the end of a sentence.
    """

    settings: tuple[str, ...]
    unread: Callable[[Config, Kinds], bool]
    why: Callable[[Config], str]


def _scorer_rule(setting: str, option: str) -> _Rule:
    kinds = [kind for kind, options in SCORER_OPTIONS.items() if option in options]
    return _Rule(
        (f"scorer.{setting}",),
        lambda config, _: config.scorer.kind not in kinds,
        lambda config: f"scorer.kind is {config.scorer.kind!r}; it is read for {' and '.join(kinds)}",
    )


def _kind_rule(kind: str, *settings: str) -> _Rule:
    return _Rule(settings, lambda _, kinds: kind not in kinds, lambda _: f"there is no skill-{kind} graph")


def _nowhere_to_look(config: Config) -> bool:
    source = config.source
    paths = (source.path, source.tasks_path, *(part.path for part in source.parts.values()))
    return bool(source.keep_out) and source.source != COMBINED and not any(paths)


def _all_parts_have_paths(config: Config) -> bool:
    source = config.source
    paths = [part.path for part in source.parts.values() if part.weight > 0]
    return source.source == COMBINED and all(paths) and (bool(source.tasks_path) or not source.keep_out)


_REFUSED = (
    _scorer_rule("logits", "logits"),
    _scorer_rule("tau_a", "tau_a"),
    _scorer_rule("learn_tau_a", "tau_a"),
    _scorer_rule("reduce", "reduce"),
    _Rule(("profile_steps",), lambda config, _: not config.profile, lambda _: "profile is False"),
    _Rule(
        ("split.salt",),
        lambda config, _: config.split.validation == config.split.test == 0,
        lambda _: "split.validation and split.test are 0, so nothing is split",
    ),
    _Rule(
        ("loss.drop_other_positives",),
        lambda config, _: config.batch.positives == "sampled",
        lambda _: "batch.positives is 'sampled', so no text has another positive",
    ),
    _Rule(
        ("source.graphs", "source.relations"),
        lambda config, _: config.source.source == COMBINED,
        lambda _: f"source.source is {COMBINED!r}; each of source.parts has its own",
    ),
    _Rule(
        ("source.path",),
        lambda config, _: _all_parts_have_paths(config),
        lambda _: "each of source.parts has its own",
    ),
    _Rule(
        ("source.tasks_path",),
        lambda config, _: not config.source.keep_out,
        lambda _: "source.keep_out is empty, so no evaluation task is looked for",
    ),
    _Rule(
        ("source.keep_out",),
        lambda config, _: _nowhere_to_look(config),
        lambda _: "there is no folder to look for evaluation tasks in; name it with source.tasks_path",
    ),
)
_REPORTED = (
    *(_kind_rule(kind, f"lengths.{kind}", f"loss.alpha.{kind}", f"loss.tau.{kind}") for kind in GRAPH_KINDS),
    _kind_rule("vacancy", "batch.distractor_probability"),
    _Rule(
        ("source.language", "source.version"),
        lambda config, _: config.source.source == COMBINED,
        lambda _: "each of source.parts has its own",
    ),
    _Rule(
        ("source.parts",),
        lambda config, _: config.source.source != COMBINED,
        lambda config: f"source.source is {config.source.source!r}",
    ),
    _Rule(
        ("evaluation.every", "evaluation.max_queries"),
        lambda config, _: config.split.validation == 0,
        lambda _: "split.validation is 0",
    ),
    _Rule(
        ("evaluation.max_test_queries", "evaluation.skip"),
        lambda config, _: config.split.validation == config.split.test == 0,
        lambda _: "split.validation and split.test are 0",
    ),
)
_DEFAULT = Config()


def check_settings(config: Config) -> None:
    """Raises UserError if a setting was changed from its default that nothing reads beside the others."""
    found = _unread(_REFUSED, config, ())
    if found:
        told = "; ".join(f"{name} is {value!r}, but {why}" for name, value, why in found)
        defaults = ", ".join(f"{name}={_value(_DEFAULT, name)!r}" for name, _, _ in found)
        raise UserError(
            f"{len(found)} {'setting is' if len(found) == 1 else 'settings are'} not used: {told}. Leave "
            f"{defaults}, the default, or change what it depends on."
        )


def unread_settings(config: Config, kinds: Kinds) -> str:
    """The settings that were changed from their defaults and may be, though nothing reads them; "" where none.

    Args:
      config: of the run.
      kinds: of its graphs.
    """
    found = _unread(_REPORTED, config, kinds)
    return "; ".join(f"{name} is not used: {why}" for name, _, why in found)


def read_values(config: Config, kinds: Kinds) -> dict[str, Any]:
    """The settings as plain values, without those that nothing reads: runs for which they are equal train alike.

    Args:
      config: of the run.
      kinds: of its graphs.
    """
    values = config.to_dict()
    for rule in (*_REFUSED, *_REPORTED):
        for name in rule.settings if rule.unread(config, kinds) else ():
            *sections, last = name.split(".")
            functools.reduce(dict.__getitem__, sections, values).pop(last)
    return values


def _unread(rules: tuple[_Rule, ...], config: Config, kinds: Kinds) -> list[tuple[str, Any, str]]:
    return [
        (name, _value(config, name), rule.why(config))
        for rule in rules
        if rule.unread(config, kinds)
        for name in rule.settings
        if _value(config, name) != _value(_DEFAULT, name)
    ]


def _value(config: Config, name: str) -> Any:
    value: Any = config
    for part in name.split("."):
        value = getattr(value, part)
    return value
