"""Training state, and the train step on all devices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from uwe_jax.config import LossSettings, ScorerSettings
from uwe_jax.data.batches import Batch
from uwe_jax.distributed import parallel
from uwe_jax.distributed.gradient_cache import cached_value_and_grad, fold_in
from uwe_jax.models.uwe import LEARNED, Params, UweModel
from uwe_jax.runtime.kinds import QUERY, SKILL, TARGET
from uwe_jax.scoring.losses import RowSum, distillation, info_nce
from uwe_jax.scoring.scorer_text import is_read, loss_scorer
from uwe_jax.scoring.scorers import Temperatures, pairwise_scores
from uwe_jax.scoring.tokens import Tokens

Metrics = dict[str, Float[Array, ""]]


@flax.struct.dataclass
class TrainState:
    """State that changes from step to step; `step` counts the steps taken."""

    step: Any  # int32 scalar, or what a tree map makes of it
    params: Params
    opt_state: Any

    @classmethod
    def create(cls, params: Params, optimiser: optax.GradientTransformation) -> TrainState:
        """Returns the state before the first step."""
        return cls(jnp.zeros((), jnp.int32), params, optimiser.init(params))


def graph_loss(
    skills: Tokens,
    neighbours: Tokens,
    positives: Bool[Array, "b n"],
    valid: Bool[Array, " n"],
    tau_a: Temperatures,
    scorer: ScorerSettings,
    settings: LossSettings,
    kind: str,
    masked: dict[str, Bool[Array, "b n"]] | None = None,
) -> Float[Array, ""]:
    """Computes this device's share of L(Y|S) + L(S|Y) of one graph; its mean over devices is the global batch's loss.

    The device's skills are scored against the neighbours of all devices, both directions from one product. Its columns
    of s(y, s) are exchanged for the rows of its own neighbours against the skills of all devices.

    Args:
      skills: token embeddings of this device's b skills.
      neighbours: token embeddings of the n neighbours of all devices.
      positives: edges between its skills and the neighbours.
      valid: which of the neighbours take part.
      masked: pairs that are not negatives of its skills (`forward`), and not of the neighbours (`backward`).
    """
    masked = masked or {}
    scores = pairwise_scores(skills, neighbours, tau_a, scorer)
    options = {"tau": getattr(settings.tau, kind), "drop_other_positives": settings.drop_other_positives}
    given_skills = info_nce(scores.forward, positives, valid, **options, masked=masked.get("forward"))
    loss = parallel.share_of_mean(given_skills)
    if settings.symmetric:
        # An invalid neighbour has no positive, so its row has no weight.
        own_positives = parallel.exchange(positives & valid[None, :])
        every_skill = jnp.ones(own_positives.shape[1], bool)
        own_masked = parallel.exchange(masked["backward"]) if masked else None
        given_neighbours = info_nce(
            parallel.exchange(scores.backward), own_positives, every_skill, **options, masked=own_masked
        )
        loss += parallel.share_of_mean(given_neighbours)
    return loss


def masked_share(
    positives: Bool[Array, "b n"], valid: Bool[Array, " n"], masked: dict[str, Bool[Array, "b n"]], symmetric: bool
) -> Float[Array, ""]:
    """Computes this device's share of the part of the negatives, of all rows with a positive, that is masked."""
    negatives = valid[None, :] & ~positives
    forward = (negatives & positives.any(axis=1, keepdims=True)).sum()
    backward = negatives.sum() if symmetric else 0
    total = masked["forward"].sum() + (masked["backward"].sum() if symmetric else 0)
    return parallel.share_of_mean(RowSum(jnp.float32(total), jnp.float32(forward + backward)))


def text_tokens(flat: Float[Array, "i d"], starts: Int[Array, " b"], mask: Bool[Array, "b t"]) -> Tokens:
    """Takes the token embeddings of texts out of those of packed rows, one row after another."""
    places = starts[:, None] + jnp.arange(mask.shape[1])[None, :]
    return Tokens(jnp.take(flat, places, axis=0, mode="clip"), mask)


def batch_loss(
    params: Params, embeddings: Float[Array, "r i d"], batch: Batch, model: UweModel, settings: LossSettings
) -> tuple[Float[Array, ""], Metrics]:
    """Computes this device's share of the loss over all graphs, and of its parts by graph, from its packed rows.

    The rows are gathered from all devices, once for all graphs: they are smaller than padded texts, and a text may be
    in the rows of any device.
    """
    own = embeddings.reshape(-1, embeddings.shape[-1])
    kinds, nodes, masked = batch["positives"], batch["nodes"], batch.get("masked", {})
    every, neighbours, valid = parallel.gather((own, {kind: nodes[kind] for kind in kinds}, batch["valid"]))
    skills = text_tokens(every, **nodes[SKILL])
    tau_a = model.temperatures(params)
    scorer = loss_scorer(model.scorer, settings.side)
    losses = {
        kind: graph_loss(
            skills,
            text_tokens(every, **neighbours[kind]),
            positives,
            valid[kind],
            tau_a,
            scorer,
            settings,
            kind,
            masked.get(kind),
        )
        for kind, positives in kinds.items()
    }
    total = sum((getattr(settings.alpha, kind) * loss for kind, loss in losses.items()), jnp.zeros(()))
    if "teacher" in batch:
        queries, targets = text_tokens(every, **nodes[QUERY]), text_tokens(every, **parallel.gather(nodes[TARGET]))
        teacher, how = batch["teacher"], settings.distillation
        scores = pairwise_scores(queries, targets, tau_a, scorer)
        sides = [(scores.forward, teacher["scores"], teacher["scored"])]
        if how.symmetric:
            sides.append(jax.tree.map(parallel.exchange, (scores.backward, *sides[0][1:])))
        apart = (distillation(*side, how.kind, how.tau, how.teacher_tau) for side in sides)
        losses["teacher"] = sum(map(parallel.share_of_mean, apart), jnp.zeros(()))
        total += how.weight * losses["teacher"]
    shares = {
        f"masked/{kind}": masked_share(kinds[kind], valid[kind], mask, settings.symmetric)
        for kind, mask in masked.items()
    }
    return total, {"loss": total} | {f"loss/{kind}": loss for kind, loss in losses.items()} | shares


def batch_gradient(
    params: Params,
    batch: Batch,
    model: UweModel,
    settings: LossSettings,
    dropout_key: Array | None,
    rows_at_once: int = 0,
) -> tuple[Params, Metrics]:
    """Computes this device's share of the gradient, and of the losses; their means are those of the global batch.

    Of more than `rows_at_once` rows, unless it is 0, so many are encoded at a time under gradient caching, with the
    same gradient up to rounding and to the dropout masks drawn.
    """
    packed = batch["packed"]

    def encode(params: Params, rows: dict[str, Array], key: Array | None) -> Array:
        return model.encode(params, rows["token_ids"], rows["segments"], key).embeddings

    def loss(embeddings: Array, params: Params) -> tuple[Float[Array, ""], Metrics]:
        return batch_loss(params, embeddings, batch, model, settings)

    if 0 < rows_at_once < len(packed["segments"]):
        (_, metrics), gradient = cached_value_and_grad(encode, loss, params, packed, rows_at_once, dropout_key)
        return gradient, metrics
    return jax.grad(lambda params: loss(encode(params, packed, dropout_key), params), has_aux=True)(params)


def dropout_key(model: UweModel, seed: int, number: Array | int) -> Array | None:
    """Returns this device's key after `number` steps, inside a parallel function; None without dropout."""
    if not model.encoder.dropout:
        return None
    return fold_in(fold_in(jax.random.key(seed), number), parallel.device_index())


def make_train_step(
    model: UweModel,
    settings: LossSettings,
    optimiser: optax.GradientTransformation,
    seed: int,
    rows_at_once: int = 0,
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
    """Returns the compiled step: (replicated state, batch split over devices) to (next state, metrics of the batch).

    The state is donated. Dropout keys follow from seed, step and device. For `rows_at_once` see `batch_gradient`.
    """

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        key = dropout_key(model, seed, state.step)
        gradients, metrics = parallel.mean_over_devices(
            batch_gradient(state.params, batch, model, settings, key, rows_at_once)
        )
        updates, opt_state = optimiser.update(gradients, state.opt_state, state.params)
        metrics["gradient_norm"] = optax.tree.norm(gradients)
        if state.params["scorer"]:
            names = (name.removeprefix("log_") for name in LEARNED)
            temperatures = dict(zip(names, model.temperatures(state.params), strict=True))
            metrics |= {name: jnp.asarray(tau) for name, tau in temperatures.items() if is_read(name, model.scorer)}
        return TrainState(state.step + 1, optax.apply_updates(state.params, updates), opt_state), metrics

    return parallel.parallel(step, donate=(0,))
