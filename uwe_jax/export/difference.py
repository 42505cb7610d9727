"""Exports of a difference: a model as what training changed in its encoder."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np

from uwe_jax.export.subjects import Subject
from uwe_jax.models.difference import add_difference, difference_of, lost_share
from uwe_jax.models.loaded import LoadedModel
from uwe_jax.models.loading import load_encoder
from uwe_jax.models.weights import params_from_hf, params_to_hf
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.progress import counted, data_size

LOG = logging.getLogger(__name__)


class Reduced(NamedTuple):
    """A model whose weights differ from those of its base by a difference that is stored in few bytes."""

    model: LoadedModel
    difference: dict[str, np.ndarray]


def reduce_change(subject: Subject, cache_dir: Path, *, rank: int = 0, bits: int = 0) -> Reduced:
    """Reduces what training changed in a model to a rank or to a few bits; see `uwe_jax.models.difference`.

    Raises:
      UserError: the model was not trained, or the encoder that its training started from is not known by a name, or
        has another architecture.
    """
    model, flag = subject.model, "--low-rank" if rank else "--bits"
    if not subject.training:
        raise UserError(
            f"{model.name} was not trained, so nothing in it differs from an encoder. Export without {flag}."
        )
    if not subject.base_model:
        raise UserError(
            f"{model.name} was trained from a folder, which others do not have, so they could not add the difference "
            f"to it. Export without {flag}."
        )
    base, config = load_encoder(subject.base_model, cache_dir=cache_dir), model.model.encoder.config
    if base.config != config:
        raise UserError(
            f"{model.name} and {subject.base_model}, which its training started from, have different architectures: "
            f"{config} and {base.config}. Export without {flag}."
        )
    before, after = params_to_hf(base.params, config), params_to_hf(model.params["encoder"], config)
    difference = difference_of(before, after, rank=rank, bits=bits)
    restored = add_difference(before, difference)
    how = f"Rank {rank}" if rank else f"{counted(bits, 'bit')} per weight"
    LOG.info(
        f"{how}: {data_size(sum(each.nbytes for each in difference.values()))}; "
        f"{lost_share(before, after, restored):.0%} of the change in weights (Frobenius norm) is lost."
    )
    params = {**model.params, "encoder": params_from_hf(restored, config)}
    return Reduced(dataclasses.replace(model, params=params, stored_fingerprint=""), difference)
