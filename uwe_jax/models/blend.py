"""Weighted sums of parameters: of several models, or of a trained one and of what its encoder came with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax

from uwe_jax.models.uwe import Params


def blend(trained: Params, pretrained: Params, share: float) -> Params:
    """The model at `share` of the way from the trained encoder back to the pretrained one.

    theta = (1 - share) theta_trained + share theta_pretrained for every parameter of the encoder: an average in weight
    space, which costs nothing at inference and keeps more of what the encoder knew of texts that training has none of
    (WiSE-FT: Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022). The scorer's own parameters stay.

    Args:
      trained: {encoder: ..., scorer: ...}.
      pretrained: the encoder's parameters before training.
      share: 0 keeps the trained ones as they are.

    >>> trained = {"encoder": {"w": 4.0}, "scorer": {"log_tau_a": -1.0}}
    >>> blend(trained, {"w": 0.0}, 0.25)
    {'encoder': {'w': 3.0}, 'scorer': {'log_tau_a': -1.0}}
    """
    if not share:
        return trained
    return {**trained, "encoder": weighted_sum([trained["encoder"], pretrained], [1 - share, share])}


def weighted_sum(trees: Sequence[Any], weights: Sequence[float]) -> Any:
    """sum_k w_k theta_k of trees of one structure.

    >>> weighted_sum([{"w": 4.0}, {"w": 1.0}], [0.5, 2.0])
    {'w': 4.0}
    """
    return jax.tree.map(
        lambda *leaves: sum(weight * leaf for weight, leaf in zip(weights, leaves, strict=True)), *trees
    )
