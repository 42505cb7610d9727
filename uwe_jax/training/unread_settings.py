"""Settings that have no effect beside the others of a run, in one table.

Changing such a setting is refused. Those that a config file sets for data of another kind, or for a run that measures,
are only reported.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Collection
from dataclasses import fields
from typing import Any, NamedTuple

from uwe_jax.config import COMBINED, Config, DistillationSettings, ScorerSettings
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.kinds import GRAPH_KINDS
from uwe_jax.scoring.scorer_text import SCORER_OPTIONS, SIDES_OF, is_read, loss_scorer

Kinds = Collection[str]  # of the graphs
_SIDES = ", scorer.side {config.scorer.side!r} and loss.side {config.loss.side!r}"


class _Rule(NamedTuple):
    """A condition under which settings have no effect."""

    settings: str  # full names, separated by spaces
    unread: Callable[[Config, Kinds], bool]
    why: str  # end of a sentence, formatted with `config`


def _scorer_rule(setting: str, option: str) -> _Rule:
    kinds = [kind for kind, options in SCORER_OPTIONS.items() if option in options]
    found, readers = "scorer.kind is {config.scorer.kind!r}", " and ".join(kinds)
    if option in SIDES_OF:
        found += _SIDES
        readers += f" from side {' or '.join(SIDES_OF[option])}"
    why = f"{found}; {readers} read it"
    return _Rule(setting, lambda config, _: not any(is_read(option, each) for each in _scorers(config)), why)


def _scorers(config: Config) -> tuple[ScorerSettings, ScorerSettings]:
    """Returns the scorer of rankings and that of the loss."""
    return config.scorer, loss_scorer(config.scorer, config.loss.side)


def _no_learned_temperature(config: Config, _: Kinds) -> bool:
    """Tells whether the loss has no gradient in any temperature that rankings read."""
    return not any(all(is_read(tau, each) for each in _scorers(config)) for tau in ("tau_a", "target_tau_a"))


def _kind_rule(kind: str, settings: str) -> _Rule:
    return _Rule(settings, lambda _, kinds: kind not in kinds, f"there is no skill-{kind} graph")


def _is_combined(config: Config, _: Kinds) -> bool:
    return config.source.source == COMBINED


def _nothing_held_out(config: Config, _: Kinds) -> bool:
    return config.split.validation == config.split.test == 0


def _no_task_folder(config: Config, _: Kinds) -> bool:
    source = config.source
    paths = (source.path, source.tasks_path, *(part.path for part in source.parts.values()))
    return bool(source.decontaminate) and source.source != COMBINED and not any(paths)


def _all_sources_have_paths(config: Config, _: Kinds) -> bool:
    source = config.source
    paths = [part.path for part in source.parts.values() if part.weight > 0]
    return source.source == COMBINED and all(paths) and (bool(source.tasks_path) or not source.decontaminate)


_REFUSED = (
    *(_scorer_rule(f"scorer.{option}", option) for option in ("logits", "tau_a", "target_tau_a", "target_weight")),
    *(_scorer_rule(f"scorer.{option}", option) for option in ("reduce", "side")),
    _scorer_rule("loss.side", "side"),
    _Rule(
        "scorer.learn_tau_a",
        _no_learned_temperature,
        f"scorer.kind is {{config.scorer.kind!r}}{_SIDES}; rankings and the loss read no temperature in common",
    ),
    _Rule(
        " ".join(f"loss.distillation.{each.name}" for each in fields(DistillationSettings) if each.name != "path"),
        lambda config, _: not config.loss.distillation.path,
        "loss.distillation.path is empty",
    ),
    _Rule("guide.margin", lambda config, _: config.guide.mask == "none", "guide.mask is 'none'"),
    _Rule("guide.name", lambda config, _: not config.needs_guide, "nothing needs a guide"),
    _Rule("batch.mined_margin", lambda config, _: not config.batch.mined_negatives, "batch.mined_negatives is 0"),
    _Rule("batch.skills_per_field", lambda config, _: not config.batch.field_share, "batch.field_share is 0"),
    _Rule("profile_steps", lambda config, _: not config.profile, "profile is False"),
    _Rule("split.salt", _nothing_held_out, "split.validation and split.test are 0, so nothing is split"),
    _Rule(
        "loss.drop_other_positives",
        lambda config, _: config.batch.positives == "sampled",
        "batch.positives is 'sampled', so no text has another positive",
    ),
    _Rule(
        "source.graphs source.relations",
        _is_combined,
        f"source.source is {COMBINED!r}; each of source.parts has its own",
    ),
    _Rule("source.path", _all_sources_have_paths, "each of source.parts has its own"),
    _Rule(
        "source.tasks_path",
        lambda config, _: not config.source.decontaminate,
        "source.decontaminate is empty, so no evaluation task is looked for",
    ),
    _Rule(
        "source.decontaminate",
        _no_task_folder,
        "there is no folder to look for evaluation tasks in; name it with source.tasks_path",
    ),
)
_REPORTED = (
    *(_kind_rule(kind, f"lengths.{kind} loss.alpha.{kind} loss.tau.{kind}") for kind in GRAPH_KINDS),
    _kind_rule("vacancy", "batch.distractor_probability"),
    _Rule("source.language source.version", _is_combined, "each of source.parts has its own"),
    _Rule("source.parts", lambda *run: not _is_combined(*run), "source.source is {config.source.source!r}"),
    _Rule(
        "evaluation.every evaluation.max_queries",
        lambda config, _: config.split.validation == 0,
        "split.validation is 0",
    ),
    _Rule("evaluation.max_test_queries evaluation.skip", _nothing_held_out, "split.validation and split.test are 0"),
)
_DEFAULT = Config()


def check_settings(config: Config) -> None:
    """Raises UserError if a setting that has no effect beside the others was changed from its default."""
    found = _unread(_REFUSED, config, ())
    if found:
        reasons = "; ".join(f"{name} is {value!r}, but {why}" for name, value, why in found)
        defaults = ", ".join(f"{name}={operator.attrgetter(name)(_DEFAULT)!r}" for name, _, _ in found)
        raise UserError(
            f"{len(found)} {'setting is' if len(found) == 1 else 'settings are'} not used: {reasons}. Leave "
            f"{defaults}, the default, or change what it depends on."
        )


def unread_settings(config: Config, kinds: Kinds, parts: Collection[str]) -> str:
    """Describes settings that were changed from their defaults and may be, but have no effect; "" if none.

    Args:
      kinds: of the graphs.
      parts: sources with an edge in them, if they are of a mixture.
    """
    unread = [(name, why) for name, _, why in _unread(_REPORTED, config, kinds)]
    if config.batch.sources != _DEFAULT.batch.sources and len(parts) < 2:
        unread.append(("batch.sources", "all edges are of one source"))
    return "; ".join(f"{name} is not used: {why}" for name, why in unread)


def read_values(config: Config, kinds: Kinds) -> dict[str, Any]:
    """Returns the settings that have an effect, as plain values: runs for which they are equal train alike."""
    values = config.to_dict()
    for rule in (*_REFUSED, *_REPORTED):
        for name in rule.settings.split() if rule.unread(config, kinds) else ():
            *sections, last = name.split(".")
            functools.reduce(dict.__getitem__, sections, values).pop(last)
    return values


def _unread(rules: tuple[_Rule, ...], config: Config, kinds: Kinds) -> list[tuple[str, Any, str]]:
    """Returns name, value and reason of the settings that were changed and have no effect."""
    return [
        (name, operator.attrgetter(name)(config), rule.why.format(config=config))
        for rule in rules
        if rule.unread(config, kinds)
        for name in rule.settings.split()
        if operator.attrgetter(name)(config) != operator.attrgetter(name)(_DEFAULT)
    ]
