"""A train step taken apart: which of its pieces first holds a value that is not finite, and for which texts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jaxtyping import Array, Bool

from uwe_jax.config import LossSettings
from uwe_jax.data.batches import Batch
from uwe_jax.distributed import parallel
from uwe_jax.distributed.gradient_cache import encode_in_chunks, fold_in
from uwe_jax.models.uwe import Params, UweModel
from uwe_jax.runtime.kinds import SKILL
from uwe_jax.scoring.chunking import pairwise_scores
from uwe_jax.training.step import batch_gradient, batch_loss, dropout_key, rows_by_length, tokens_by_kind

RESULT = "token embeddings"
_ROWS = 20  # named of each detail


@dataclasses.dataclass(frozen=True)
class Detail:
    """One part of a piece that holds values that are not finite.

    Attributes:
      name: path of a parameter, module of the encoder, or graph.
      bad: how many of its values or texts are not finite.
      of: how many there are.
      kind: node kind of the texts that `rows` number; empty where they are rows of a parameter.
      rows: the first of those that are concerned. Texts are numbered through this process's batch, device after device.
      note: what else is known.
    """

    name: str
    bad: int
    of: int
    kind: str = ""
    rows: tuple[int, ...] = ()
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Piece:
    """One piece of the step, in its order: how many of its values are not finite, and in which parts."""

    name: str
    bad: int
    of: int
    unit: str
    details: tuple[Detail, ...] = ()
    note: str = ""


@dataclasses.dataclass(frozen=True)
class SuspectStep:
    """All that a step is a function of.

    Attributes:
      params: before the step, replicated over devices.
      number: steps taken before.
      batch: split over devices.
      chunk: texts encoded at once under gradient caching; 0 without it.
    """

    model: UweModel
    settings: LossSettings
    params: Params
    number: int
    batch: Batch
    seed: int
    chunk: int = 0

    def dropout_key(self) -> Array | None:
        """Inside a parallel function: this device's key of the step."""
        return dropout_key(self.model, self.seed, self.number)


class _finite_texts:
    """Notes for every module of Flax that is called inside which texts its result is finite for, bool [b]."""

    def __init__(self, shape: tuple[int, ...]):
        self._shape = shape
        self._found: dict[str, Array] = {}
        self._context = nn.intercept_methods(self._note)

    def _note(self, call: Callable, args: Any, kwargs: Any, context: Any) -> Any:
        out = call(*args, **kwargs)
        name = "/".join(context.module.path)
        # What is the same for all texts, such as embeddings of positions, is a matter of parameters.
        if name and context.method_name == "__call__" and getattr(out, "shape", ())[:1] == self._shape[:1]:
            self._found[name] = _finite(out)
        return out

    def __enter__(self) -> dict[str, Array]:
        self._context.__enter__()
        return self._found

    def __exit__(self, *error: Any) -> None:
        self._context.__exit__(*error)


def _encoded(step: SuspectStep) -> tuple[dict[int, Array], dict[str, dict[str, Array]], list[str]]:
    """Encodes the batch as the step does.

    Returns:
      Token embeddings by length; by kind and module, for which texts the module's result is finite, [devices, b]; and
      the modules in the order in which they end.
    """
    # The values are the same without recomputing them, which would hide the modules inside a layer.
    model = dataclasses.replace(step.model, encoder=step.model.encoder.clone(remat=False))
    order: list[str] = []

    def encode(params: Params, rows: dict[str, Array], key: Array | None) -> tuple[Array, dict[str, Array]]:
        with _finite_texts(rows["token_ids"].shape) as found:
            embeddings = model.encode(params, rows["token_ids"], rows["mask"], key).embeddings
        found[RESULT] = _finite(embeddings)
        order[:] = list(found)
        return embeddings, found

    def run(params: Params, batch: Batch) -> tuple[dict[int, Array], dict[str, dict[str, Array]]]:
        groups, key = rows_by_length(batch["nodes"]), step.dropout_key()
        if step.chunk:
            results = encode_in_chunks(encode, params, groups, step.chunk, key)
        else:
            results = {length: encode(params, rows, fold_in(key, length)) for length, rows in groups.items()}
        flags = {length: found for length, (_, found) in results.items()}
        return {length: embeddings for length, (embeddings, _) in results.items()}, _by_kind(flags, batch)

    return (*parallel.parallel(run)(step.params, step.batch), order)


def _finite(values: Array) -> Bool[Array, " b"]:
    """Which rows hold finite values only. Padding counts too: attention multiplies it by zero, which keeps a NaN."""
    return jnp.isfinite(values).reshape(values.shape[0], -1).all(axis=1)


def _by_kind(by_length: dict[int, Any], batch: Batch) -> dict[str, Any]:
    """Leaves [rows, ...] of `rows_by_length` cut into those of each kind."""
    cut: dict[str, Any] = {}
    for length, tree in by_length.items():
        kinds = [kind for kind, rows in batch["nodes"].items() if rows["token_ids"].shape[1] == length]
        leaves, structure = jax.tree.flatten(tree)
        parts = [jnp.split(leaf, len(kinds)) for leaf in leaves]
        for kind, part in zip(kinds, zip(*parts, strict=True), strict=True):
            cut[kind] = jax.tree.unflatten(structure, part)
    return cut


def _count(fine: np.ndarray) -> tuple[int, int]:
    """How many are false, and how many there are."""
    return int((~fine).sum()), fine.size


def _first(fine: np.ndarray) -> tuple[int, ...]:
    """Numbers of the first that are false."""
    return tuple(map(int, np.flatnonzero(~fine.reshape(-1))[:_ROWS]))


def _leaf_facts(tree: Any) -> Any:
    """For each leaf how many values are not finite, and the largest size of those that are."""

    def facts(leaf: Array) -> tuple[Array, Array]:
        fine = jnp.isfinite(leaf)
        return (~fine).sum(), jnp.where(fine, jnp.abs(leaf), 0).max(initial=0)

    return jax.tree.map(facts, tree)


def _tree_piece(name: str, tree: Any, facts: Any, first_rows: bool) -> Piece:
    """The piece that a tree like the parameters is; facts as of `_leaf_facts`, on every device."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    counted = jax.tree.leaves(facts, is_leaf=lambda leaf: isinstance(leaf, tuple))
    details, largest = [], (0.0, "")
    for (path, leaf), (bad, size) in zip(leaves, counted, strict=True):
        label = jax.tree_util.keystr(path, simple=True, separator="/")
        largest = max(largest, (float(np.asarray(size)[0]), label))
        if count := int(np.asarray(bad)[0]):
            rows: tuple[int, ...] = ()
            if first_rows and leaf.ndim > 1:
                one = np.asarray(parallel.first(leaf))
                rows = _first(np.isfinite(one).reshape(one.shape[0], -1).all(axis=1))
            details.append(Detail(label, count, math.prod(leaf.shape[1:]), rows=rows))
    note = f"largest finite value {largest[0]:.3g} in {largest[1]}"
    total = sum(math.prod(leaf.shape[1:]) for _, leaf in leaves)
    return Piece(name, sum(detail.bad for detail in details), total, "values", tuple(details), note)


def _text_piece(name: str, fine: Iterable[tuple[str, str, Any]]) -> Piece:
    """The piece of (part, kind, bool [devices, b] which texts are finite)."""
    details = []
    fine_throughout: dict[str, np.ndarray] = {}
    for part, kind, each in fine:
        flags = np.asarray(each)
        fine_throughout[kind] = fine_throughout.get(kind, True) & flags
        if not flags.all():
            details.append(Detail(part, *_count(flags), kind, _first(flags)))
    bad = sum(int((~flags).sum()) for flags in fine_throughout.values())
    return Piece(name, bad, sum(flags.size for flags in fine_throughout.values()), "texts", tuple(details))


def _value_piece(name: str, values: dict[str, float], note: str = "", *, positive: bool = False) -> Piece:
    fine = {part: math.isfinite(value) and (value > 0 or not positive) for part, value in values.items()}
    details = [Detail(part, 1, 1, note=f"{value:.6g}") for part, value in values.items() if not fine[part]]
    told = ", ".join(f"{part} {value:.6g}" for part, value in values.items())
    return Piece(name, len(details), len(values), "values", tuple(details), note or told)


def take_apart(step: SuspectStep) -> tuple[list[Piece], dict[int, Any]]:
    """Runs the pieces of a step one after another.

    In a training of several processes all of them must call it; each tells of its own texts.

    Returns:
      The pieces in their order, and the token embeddings by length, on devices.
    """
    params, batch = step.params, step.batch
    pieces = [_tree_piece("parameters", params, parallel.parallel(_leaf_facts)(params), first_rows=True)]

    embeddings, texts, modules = _encoded(step)
    calls = [(name, kind, texts[kind][name]) for name in modules for kind in texts]
    pieces.append(_text_piece("encoder", [call for call in calls if call[0] != RESULT]))
    pieces.append(_text_piece(RESULT, [call for call in calls if call[0] == RESULT]))

    tau_a = float(np.asarray(step.model.tau_a(parallel.first({"scorer": params["scorer"]}))))
    learned = {name: float(np.asarray(value)[0]) for name, value in params["scorer"].items()}
    told = ", ".join([f"tau_a {tau_a:.6g}", *(f"scorer/{name} {value:.6g}" for name, value in learned.items())])
    # A temperature of zero divides the attention's logits.
    pieces.append(_value_piece("tau_a", {"tau_a": tau_a}, told, positive=True))

    scores = parallel.parallel(lambda *args: _score_flags(step, *args))(params, embeddings, batch)
    pieces.append(_text_piece("scores", [(f"skill-{kind}", SKILL, fine) for kind, fine in scores.items()]))

    losses, back = parallel.parallel(lambda *args: _loss_back(step, *args))(params, embeddings, batch)
    pieces.append(_value_piece("loss", {name: float(np.asarray(x)[0]) for name, x in losses.items()}))
    pieces.append(_text_piece("loss to embeddings", [("gradient", kind, fine) for kind, fine in back.items()]))

    gradient, norm = parallel.parallel(lambda *args: _gradient_facts(step, *args))(params, batch)
    pieces.append(_tree_piece("gradient", params, gradient, first_rows=False))
    pieces.append(_value_piece("gradient norm", {"norm": float(np.asarray(norm)[0])}))
    return pieces, embeddings


def _score_flags(step: SuspectStep, params: Params, embeddings: dict[int, Array], batch: Batch) -> dict[str, Array]:
    """By graph, for which skills all scores with the batch's neighbours are finite, in both directions."""
    encoded = tokens_by_kind(embeddings, batch["nodes"])
    flags = {}
    for kind in batch["positives"]:
        neighbours = parallel.gather(encoded[kind])
        scores = pairwise_scores(encoded[SKILL], neighbours, step.model.tau_a(params), step.model.scorer)
        flags[kind] = _finite(scores.forward) & _finite(scores.backward)
    return flags


def _loss_back(step: SuspectStep, params: Params, embeddings: dict[int, Array], batch: Batch) -> Any:
    """The losses, and by kind for which texts their gradient is finite."""
    gradient, losses = jax.grad(batch_loss, argnums=1, has_aux=True)(
        params, embeddings, batch, step.model, step.settings
    )
    flags = {length: _finite(leaf) for length, leaf in gradient.items()}
    return parallel.mean_over_devices(losses), _by_kind(flags, batch)


def _gradient_facts(step: SuspectStep, params: Params, batch: Batch) -> Any:
    gradient, _ = batch_gradient(params, batch, step.model, step.settings, step.dropout_key(), step.chunk)
    gradient = parallel.mean_over_devices(gradient)
    return _leaf_facts(gradient), optax.tree.norm(gradient)
