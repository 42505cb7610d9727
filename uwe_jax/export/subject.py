"""What is exported: a model, and what is known of where it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uwe_jax.data.training_hashes import Footprint
from uwe_jax.export.model_card import check_record
from uwe_jax.export.provenance import base_model, training_record
from uwe_jax.models.exported import MANIFEST
from uwe_jax.models.loaded import LoadedModel
from uwe_jax.models.loading import load_model
from uwe_jax.models.remote_workdir import make_local
from uwe_jax.models.sentence_modules import not_applied
from uwe_jax.runtime.errors import UserError
from uwe_jax.training.workdir import TRAINED_ON


@dataclass(frozen=True)
class Subject:
    """A model with its provenance.

    Attributes:
      model: as it ranks.
      base_model: hub id of the encoder that it started from; empty where it is not known.
      training: record for the manifest and the model card; empty for an encoder as it was published.
      footprint: of the training graphs, where it is known.
    """

    model: LoadedModel
    base_model: str
    training: dict[str, Any]
    footprint: Footprint | None


def check_modules(subject: Subject) -> None:
    """Checks that mean pooling without prompts, which every export declares, may stand for a model.

    What was trained was trained without the pooling, layers and prompts of the encoder it started from.

    Raises:
      UserError: the model is a published encoder that declares others.
    """
    training = subject.training
    trained = any(part["training"] for part in training["average"]) if "average" in training else bool(training)
    left_out = not_applied(subject.model.folder)
    if left_out and not trained:
        raise UserError(
            f"{subject.model.folder} declares {' and '.join(left_out)}. An export has mean pooling alone, so it would "
            "be another model under its name. Export a model that was trained from it, or publish the folder as it is."
        )


def subject_of(name: str, *, cache_dir: Path, max_tokens: int | None) -> Subject:
    """The model that a name means (see `load_model`), with its provenance.

    Raises:
      UserError: there is no such model, or it cannot be read.
    """
    name = make_local(name, cache_dir)
    model = load_model(name, cache_dir=cache_dir, max_tokens=max_tokens)
    footprint = Footprint.read(Path(name).expanduser() / TRAINED_ON)
    record = training_record(model, name)
    check_record(record, f"{model.folder / MANIFEST if model.stored_fingerprint else Path(name) / 'summary.json'}")
    return Subject(model, base_model(model, name), record, footprint)
