"""Which primitive of JAX, called from which line, first gives a NaN: the suspect piece run operation by operation."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from uwe_jax.distributed import parallel
from uwe_jax.training.nan_pieces import RESULT, Piece, SuspectStep
from uwe_jax.training.step import batch_gradient, batch_loss

_PACKAGE = Path(__file__).resolve().parents[1]
_TEXTS = 8  # encoded operation by operation


def first_primitive(step: SuspectStep, piece: Piece, embeddings: dict[int, Any]) -> str:
    """A sentence on where the first NaN of a piece comes from, or on why that cannot be told.

    Everything runs on one device, without compiling: loops are unrolled and nothing is fused, so it takes a while and
    more memory than the step. The encoder is run on some of the texts concerned alone, without dropout.

    Args:
      piece: the first one of `take_apart` with a value that is not finite.
      embeddings: as of `take_apart`.
    """
    here = jax.local_devices()[0]
    params = _to(here, parallel.first(step.params))
    if piece.name == "parameters":
        return "They were so before the step: the update of an earlier one made them so."
    try:
        with jax.default_device(here), jax.disable_jit():
            if piece.name in ("encoder", RESULT):
                detail = piece.details[0]
                rows = step.batch["nodes"][detail.kind]
                token_ids, mask = (_flat(rows[name])[list(detail.rows[:_TEXTS])] for name in ("token_ids", "mask"))
                # The encoder masks with finite numbers, so that an infinite one is an overflow.
                with jax.debug_nans(True), jax.debug_infs(True):
                    step.model.encode(params, jnp.asarray(token_ids), jnp.asarray(mask))
                return "On these texts alone and without dropout, no operation of the encoder gives a NaN."
            if jax.process_count() > 1:
                return "It is not looked for in what several processes compute together."
            run = _whole if piece.name.startswith("gradient") else _behind_the_encoder
            with jax.debug_nans(True):
                run(step, params, _to(here, embeddings))
    except FloatingPointError as error:
        return f"{_sentence(error)}, called from {_line(error)}."
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        return f"It could not be looked for: {' '.join(str(error).split())[:200]}"
    return "Operation by operation, no NaN appears: a number overflows, or it depends on how XLA fuses operations."


def _to(device: jax.Device, tree: Any) -> Any:
    return jax.device_put(jax.tree.map(np.asarray, tree), device)


def _flat(leaf: Any) -> np.ndarray:
    array = np.asarray(leaf)
    return array.reshape(-1, *array.shape[2:])


def _devices_on_one(run: Callable[..., Any], step: SuspectStep, params: Any, *split: Any) -> Any:
    """What all devices compute together, batched on one: their collectives have a meaning there, too."""
    return jax.vmap(run, in_axes=(None, *(0 for _ in split)), axis_name=parallel.AXIS)(params, *split)


def _behind_the_encoder(step: SuspectStep, params: Any, embeddings: Any) -> None:
    """Scores and loss, then their gradient."""

    def loss(params: Any, embeddings: Any, batch: Any) -> Any:
        return batch_loss(params, embeddings, batch, step.model, step.settings)

    _devices_on_one(loss, step, params, embeddings, step.batch)
    _devices_on_one(jax.grad(loss, argnums=(0, 1), has_aux=True), step, params, embeddings, step.batch)


def _whole(step: SuspectStep, params: Any, _: Any) -> None:
    def gradient(params: Any, batch: Any) -> Any:
        return batch_gradient(params, batch, step.model, step.settings, step.dropout_key(), step.chunk)

    _devices_on_one(gradient, step, params, step.batch)


def _sentence(error: FloatingPointError) -> str:
    words = str(error).partition("\n")[0].strip().rstrip(".")
    return words[:1].upper() + words[1:]


def _line(error: BaseException) -> str:
    """The innermost line of this package, below the search itself, that the error came through."""
    frames: Sequence[traceback.FrameSummary] = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if Path(f.filename).is_relative_to(_PACKAGE) and f.filename != __file__]
    if not own:
        return "outside this package"
    frame = own[-1]
    return f"uwe_jax/{Path(frame.filename).relative_to(_PACKAGE)}, line {frame.lineno}: {frame.line}"
