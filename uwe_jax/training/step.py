"""The training state and the step that all devices take together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from uwe_jax import parallel
from uwe_jax.base.config import LossSettings, ScorerSettings
from uwe_jax.base.kinds import SKILL
from uwe_jax.data.batches import Batch
from uwe_jax.models.uwe import Params, UweModel
from uwe_jax.scoring.chunking import pairwise_scores
from uwe_jax.scoring.losses import info_nce
from uwe_jax.scoring.scorers import Tokens

Metrics = dict[str, Float[Array, ""]]


@flax.struct.dataclass
class TrainState:
    """Everything that changes from step to step; `step` counts the steps taken."""

    step: Any  # int32 scalar, or what a tree map makes of it
    params: Params
    opt_state: Any

    @classmethod
    def create(cls, params: Params, optimiser: optax.GradientTransformation) -> TrainState:
        """The state before the first step."""
        return cls(jnp.zeros((), jnp.int32), params, optimiser.init(params))


def graph_loss(
    skills: Tokens,
    neighbours: Tokens,
    positives: Bool[Array, "b n"],
    valid: Bool[Array, " b"],
    tau_a: Float[Array, ""],
    scorer: ScorerSettings,
    settings: LossSettings,
    kind: str,
) -> Float[Array, ""]:
    """This device's share of L(Y|S) + L(S|Y) of one graph; its mean over devices is the loss of the global batch.

    The device's skills are scored against the neighbours of all devices, both directions from one product. Its columns
    of s(y, s) are exchanged for the rows of its own neighbours against the skills of all devices.

    Args:
      skills: token embeddings of this device's b skills.
      neighbours: token embeddings of this device's b neighbours.
      positives: edges between its skills and the neighbours of all devices.
      valid: which of its neighbours take part.
    """
    scores = pairwise_scores(skills, parallel.gather(neighbours), tau_a, scorer)
    options = {"tau": getattr(settings.tau, kind), "drop_other_positives": settings.drop_other_positives}
    given_skills = info_nce(scores.forward, positives, parallel.gather(valid), **options)
    loss = parallel.share_of_mean(given_skills)
    if settings.symmetric:
        # An invalid neighbour has no positive, so its row weighs nothing.
        own_positives = parallel.exchange(positives & parallel.gather(valid)[None, :])
        every_skill = jnp.ones(own_positives.shape[1], bool)
        given_neighbours = info_nce(parallel.exchange(scores.backward), own_positives, every_skill, **options)
        loss += parallel.share_of_mean(given_neighbours)
    return loss


def encode_nodes(
    params: Params, nodes: dict[str, Any], model: UweModel, dropout_key: Array | None
) -> dict[str, Tokens]:
    """Token embeddings of every node kind; kinds of one length go through the encoder together."""
    by_length: dict[int, list[str]] = {}
    for kind, rows in nodes.items():
        by_length.setdefault(rows["token_ids"].shape[1], []).append(kind)
    encoded = {}
    for length, kinds in by_length.items():
        joined = [jnp.concatenate([nodes[kind][name] for kind in kinds]) for name in ("token_ids", "mask")]
        key = None if dropout_key is None else jax.random.fold_in(dropout_key, length)
        tokens = model.encode(params, joined[0], joined[1], key)
        rows = nodes[kinds[0]]["token_ids"].shape[0]
        for k, kind in enumerate(kinds):
            encoded[kind] = Tokens(*(part[k * rows : (k + 1) * rows] for part in tokens))
    return encoded


def batch_loss(
    params: Params, batch: Batch, model: UweModel, settings: LossSettings, dropout_key: Array | None
) -> tuple[Float[Array, ""], Metrics]:
    """This device's share of the loss over all graphs, and of its parts by graph."""
    encoded = encode_nodes(params, batch["nodes"], model, dropout_key)
    tau_a = model.tau_a(params)
    losses = {
        kind: graph_loss(
            encoded[SKILL],
            encoded[kind],
            batch["positives"][kind],
            batch["valid"][kind],
            tau_a,
            model.scorer,
            settings,
            kind,
        )
        for kind in batch["positives"]
    }
    total = sum((getattr(settings.alpha, kind) * loss for kind, loss in losses.items()), jnp.zeros(()))
    return total, {"loss": total} | {f"loss/{kind}": loss for kind, loss in losses.items()}


def make_train_step(
    model: UweModel, settings: LossSettings, optimiser: optax.GradientTransformation, seed: int
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
    """The compiled step: (replicated state, batch split over devices) to (next state, metrics of the batch).

    The state's memory is taken over by the result. Dropout keys follow from seed, step and device.
    """

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        key = None
        if model.encoder.dropout:
            key = jax.random.fold_in(jax.random.key(seed), state.step)
            key = jax.random.fold_in(key, parallel.device_index())
        gradient = jax.grad(batch_loss, has_aux=True)
        gradients, metrics = parallel.mean_over_devices(gradient(state.params, batch, model, settings, key))
        updates, opt_state = optimiser.update(gradients, state.opt_state, state.params)
        metrics["gradient_norm"] = optax.tree.norm(gradients)
        if state.params["scorer"]:
            metrics["tau_a"] = model.tau_a(state.params)
        return TrainState(state.step + 1, optax.apply_updates(state.params, updates), opt_state), metrics

    return parallel.parallel(step, donate=(0,))
