"""AdamW with warm-up, decay, clipping and learning rates by parameter group."""

from __future__ import annotations

import re
from typing import Any

import jax
import optax

from uwe_jax.config import OptimiserSettings
from uwe_jax.runtime.errors import UserError


def learning_rate_schedule(settings: OptimiserSettings, steps: int) -> optax.Schedule:
    """Linear warm-up over `warmup_fraction` of the steps, then the decay, to zero at the last step."""
    warmup = round(steps * settings.warmup_fraction)
    rest = max(1, steps - warmup)
    decay = {
        "cosine": optax.cosine_decay_schedule(settings.learning_rate, rest),
        "linear": optax.linear_schedule(settings.learning_rate, 0.0, rest),
        "constant": optax.constant_schedule(settings.learning_rate),
    }[settings.decay]
    # Counted from one: the first step would have a rate of zero.
    rise = optax.linear_schedule(settings.learning_rate / max(1, warmup), settings.learning_rate, max(1, warmup - 1))
    return optax.join_schedules([rise, decay], [warmup])


def _path_name(path: tuple[Any, ...]) -> str:
    """A parameter's path such as `encoder/layer_0/attention/query/kernel`."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def decayed(params: Any) -> Any:
    """True for matrices, which weight decay applies to; False for norms, biases and scalars."""
    return jax.tree.map(lambda leaf: leaf.ndim >= 2, params)


def make_optimiser(settings: OptimiserSettings, steps: int) -> optax.GradientTransformation:
    """Optimiser of a run of `steps` steps.

    Raises UserError if a learning-rate pattern is not a regular expression or, at initialisation, matches no parameter.
    """
    patterns = []
    for pattern, factor in settings.learning_rate_factors:
        try:
            patterns.append((re.compile(pattern), factor))
        except re.error as error:
            raise UserError(
                f"optimiser.learning_rate_factors: {pattern!r} is not a regular expression: {error}."
            ) from error

    def factor_of(path: tuple[Any, ...]) -> float:
        return next((factor for regex, factor in patterns if regex.search(_path_name(path))), 1.0)

    def check(params: Any) -> optax.EmptyState:
        names = [_path_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
        for regex, _ in patterns:
            if not any(regex.search(name) for name in names):
                raise UserError(
                    f"optimiser.learning_rate_factors: {regex.pattern!r} matches none of the {len(names)} "
                    f"parameters, such as {names[0]!r}."
                )
        return optax.EmptyState()

    def scale(updates: Any, state: optax.EmptyState, params: Any = None) -> tuple[Any, optax.EmptyState]:
        del params
        return jax.tree_util.tree_map_with_path(lambda path, u: u * factor_of(path), updates), state

    clip = [optax.clip_by_global_norm(settings.clip_norm)] if settings.clip_norm else []
    return optax.chain(
        *clip,
        optax.adamw(
            learning_rate_schedule(settings, steps),
            b1=settings.b1,
            b2=settings.b2,
            eps=settings.eps,
            weight_decay=settings.weight_decay,
            mask=decayed,
        ),
        *([optax.GradientTransformation(check, scale)] if patterns else []),
    )
