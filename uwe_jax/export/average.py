"""One model of several: their parameters, averaged."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from uwe_jax.data.training_hashes import Footprint
from uwe_jax.export.subject import Subject, subject_of
from uwe_jax.models.loaded import LoadedModel
from uwe_jax.models.uwe import weighted_sum
from uwe_jax.runtime.errors import UserError
from uwe_jax.scoring.scorer_text import SCORER_OPTIONS, scorer_text

LOG = logging.getLogger(__name__)
_ROUNDING = 1e-3  # of weights that a person wrote down
_SCORER_OPTION = re.compile(rf":({'|'.join(SCORER_OPTIONS)})(,\w+=[^,=]*)*,\w+$")  # whose value is missing


class Share(NamedTuple):
    """A model, and the weight of its parameters; negative ones take away."""

    name: str
    weight: float


def parse_shares(specs: Sequence[str]) -> tuple[Share, ...]:
    """Reads models as the command line has them: NAME=WEIGHT each, or NAME each for equal weights.

    A name may hold equals signs: a folder that exists is a name, and so is an encoder with the options of its scorer.

    Raises:
      UserError: fewer than two models, a weight that is no number, weights for some alone, or that do not add up to 1.

    >>> parse_shares(["runs/a", "runs/b"])
    (Share(name='runs/a', weight=0.5), Share(name='runs/b', weight=0.5))
    """
    if len(specs) < 2:
        raise UserError(f"An average needs two models or more, and {len(specs)} is given. Repeat --model.")
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
            raise UserError(f"--model {spec}: {weight!r} is no number. Write NAME=WEIGHT.") from error
    total = sum(share.weight for share in shares)
    if not abs(total - 1) < _ROUNDING:
        raise UserError(
            f"The weights of the {len(shares)} models add up to {total:.4g}, not to 1. Give what is missing, here "
            f"{1 - total:.4g}, to one of them, or to the encoder that they were trained from."
        )
    return tuple(shares)


def _is_name(spec: str) -> bool:
    """Whether a spec has no weight behind its last equals sign."""
    before, equals, behind = spec.rpartition("=")
    # What follows in a path or in the options of a scorer is no number.
    return not equals or "/" in behind or Path(spec).expanduser().exists() or _SCORER_OPTION.search(before) is not None


def averaged(shares: Sequence[Share], *, cache_dir: Path, max_tokens: int | None) -> Subject:
    """The model whose encoder has the weighted sum of the parameters of several.

    theta = sum_k w_k theta_k with sum_k w_k = 1: a model soup (Wortsman et al., ICML 2022) where all weights are
    positive; with one at 1, some at lambda and the pretrained encoder at minus their sum, task vectors that are added
    to it (Ilharco et al., "Editing models with task arithmetic", ICLR 2023). Costs nothing at inference. It is of use
    for models that were trained from the same encoder, whose parameters are near each other.

    The scorer is that of the first trained model, with its own parameters.

    Raises:
      UserError: a model cannot be read, or is of another architecture, tokeniser or scorer than the others.
    """
    subjects = [subject_of(share.name, cache_dir=cache_dir, max_tokens=max_tokens) for share in shares]
    first = next((subject for subject in subjects if subject.training), subjects[0])
    for share, subject in zip(shares, subjects, strict=True):
        _check_alike(first.model, subject, share.name)
    encoder = weighted_sum([subject.model.params["encoder"] for subject in subjects], [w for _, w in shares])
    model = dataclasses.replace(
        first.model,
        name="",  # it has none yet
        description=f"average of {', '.join(f'{weight:g} x {name}' for name, weight in shares)}",
        params={**first.model.params, "encoder": encoder},
        training={},
        stored_fingerprint="",
    )
    return Subject(model, first.base_model, _record(shares, subjects), _footprint(shares, subjects))


def _check_alike(first: LoadedModel, subject: Subject, name: str) -> None:
    model = subject.model
    if model.model.encoder.config != first.model.encoder.config:
        raise UserError(
            f"{name} has another architecture than {first.name}: {model.model.encoder.config}, and there "
            f"{first.model.encoder.config}. Average models that were trained from one encoder."
        )
    if model.tokeniser.digest != first.tokeniser.digest:
        raise UserError(f"{name} has another tokeniser than {first.name}. Average models trained from one encoder.")
    # An encoder as it was published is scored by whatever it is asked to.
    if subject.training and model.scorer != first.scorer:
        raise UserError(
            f"{name} was trained with the scorer {scorer_text(model.scorer)}, and {first.name} with "
            f"{scorer_text(first.scorer)}. Train all of them with one scorer."
        )


def _record(shares: Sequence[Share], subjects: Sequence[Subject]) -> dict[str, Any]:
    """What the manifest says of the training: every model with its weight and its own record."""
    return {
        "average": [
            {
                "name": subject.model.name,
                "weight": share.weight,
                "fingerprint": subject.model.fingerprint,
                "training": subject.training,
            }
            for share, subject in zip(shares, subjects, strict=True)
        ]
    }


def _footprint(shares: Sequence[Share], subjects: Sequence[Subject]) -> Footprint | None:
    """All that any of the models was trained on; None where that is not known of one of them."""
    trained = [(share.name, s.footprint) for share, s in zip(shares, subjects, strict=True) if s.training]
    if unknown := [name for name, footprint in trained if footprint is None]:
        LOG.warning(
            f"What {', '.join(unknown)} was trained on is not known, so an evaluation cannot count what it has seen."
        )
        return None
    return Footprint.union([footprint for _, footprint in trained if footprint]) if trained else None
