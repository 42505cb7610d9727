"""Averages the parameters of several models."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from uwe_jax.data.training_hashes import TrainingHashes
from uwe_jax.export.provenance import Subject, subject_of
from uwe_jax.models.loaded import LoadedModel
from uwe_jax.models.uwe import weighted_sum
from uwe_jax.runtime.errors import UserError
from uwe_jax.scoring.scorer_text import SCORER_OPTIONS, scorer_text

LOG = logging.getLogger(__name__)

_ROUNDING = 1e-3  # of the sum of weights that were typed
_SCORER_OPTION = re.compile(rf":({'|'.join(SCORER_OPTIONS)})(,\w+=[^,=]*)*,\w+$")  # without its value


class Share(NamedTuple):
    """A model, and the weight of its parameters, which may be negative."""

    name: str
    weight: float


def parse_shares(specs: Sequence[str]) -> tuple[Share, ...]:
    """Parses the models of a command line: NAME=WEIGHT each, or NAME each for equal weights.

    A name may contain equals signs: those of a folder that exists, or of the options of a scorer.

    Raises:
      UserError: fewer than two models, a weight is not a number, only some have one, or they do not add up to 1.

    >>> parse_shares(["runs/a", "runs/b"])
    (Share(name='runs/a', weight=0.5), Share(name='runs/b', weight=0.5))
    """
    if len(specs) < 2:
        raise UserError(f"An average needs at least 2 models; got {len(specs)}. Repeat --model.")
    bare = [spec for spec in specs if _is_name(spec)]
    if len(bare) == len(specs):
        return tuple(Share(spec, 1 / len(specs)) for spec in specs)
    if bare:
        raise UserError(
            f"--model {bare[0]}: {len(specs) - len(bare)} of the {len(specs)} models have a weight. Give all or none."
        )
    shares = []
    for spec in specs:
        name, _, weight = spec.rpartition("=")
        try:
            shares.append(Share(name, float(weight)))
        except ValueError as error:
            raise UserError(f"--model {spec}: {weight!r} is not a number. Write NAME=WEIGHT.") from error
    total = sum(share.weight for share in shares)
    if not abs(total - 1) < _ROUNDING:
        raise UserError(
            f"The weights of the {len(shares)} models add up to {total:.4g} instead of 1. Give the missing "
            f"{1 - total:.4g} to one of them, or to the encoder that they were trained from."
        )
    return tuple(shares)


def _is_name(spec: str) -> bool:
    """Returns whether a spec ends without a weight: its last equals sign, if any, is part of a path or of a scorer."""
    before, equals, behind = spec.rpartition("=")
    return not equals or "/" in behind or Path(spec).expanduser().exists() or _SCORER_OPTION.search(before) is not None


def averaged(shares: Sequence[Share], *, cache_dir: Path, max_tokens: int | None) -> Subject:
    """Returns a model whose encoder has the weighted sum of the parameters of several.

    theta = sum_k w_k theta_k with sum_k w_k = 1: a model soup (Wortsman et al., ICML 2022) where all weights are
    positive; task arithmetic (Ilharco et al., ICLR 2023) with one weight at 1, some at lambda and the pretrained
    encoder at minus their sum. The models should have been trained from the same encoder, so that their parameters are
    near each other. The scorer is that of the first trained model, with its own parameters.

    Raises:
      UserError: a model cannot be read, or architectures, tokenisers or scorers differ.
    """
    subjects = [subject_of(share.name, cache_dir=cache_dir, max_tokens=max_tokens) for share in shares]
    first = next((subject for subject in subjects if subject.training), subjects[0])
    for share, subject in zip(shares, subjects, strict=True):
        _check_alike(first.model, subject, share.name)
    encoder = weighted_sum([subject.model.params["encoder"] for subject in subjects], [w for _, w in shares])
    model = dataclasses.replace(
        first.model,
        name="",  # the export's folder names it
        description=f"average of {', '.join(f'{weight:g} x {name}' for name, weight in shares)}",
        params={**first.model.params, "encoder": encoder},
        training={},
        stored_fingerprint="",
    )
    record = [
        {"name": s.model.name, "weight": share.weight, "fingerprint": s.model.fingerprint, "training": s.training}
        for share, s in zip(shares, subjects, strict=True)
    ]
    return Subject(model, first.base_model, {"average": record}, _hashes(shares, subjects))


def _check_alike(first: LoadedModel, subject: Subject, name: str) -> None:
    model = subject.model
    ours, theirs = model.model.encoder.config, first.model.encoder.config
    if ours != theirs:
        raise UserError(
            f"{name} and {first.name} have different architectures: {ours} and {theirs}. Average models that were "
            "trained from the same encoder."
        )
    if model.tokeniser.digest != first.tokeniser.digest:
        raise UserError(
            f"{name} and {first.name} have different tokenisers. Average models trained from the same encoder."
        )
    # An encoder as it was published has no scorer of its own.
    if subject.training and model.scorer != first.scorer:
        raise UserError(
            f"{name} was trained with the scorer {scorer_text(model.scorer)}, and {first.name} with "
            f"{scorer_text(first.scorer)}. Train all of them with one scorer."
        )


def _hashes(shares: Sequence[Share], subjects: Sequence[Subject]) -> TrainingHashes | None:
    """Joins the training hashes of all trained models; None where those of one are not known."""
    trained = [(share.name, s.hashes) for share, s in zip(shares, subjects, strict=True) if s.training]
    if unknown := [name for name, hashes in trained if hashes is None]:
        LOG.warning(
            f"What {', '.join(unknown)} was trained on is not known, so an evaluation cannot count what it has seen."
        )
        return None
    return TrainingHashes.union([hashes for _, hashes in trained if hashes]) if trained else None
