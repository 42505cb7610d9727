"""Models to export, with what is published of the training behind them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from uwe_jax.data.training_hashes import TrainingHashes
from uwe_jax.export.model_card import check_record
from uwe_jax.models.exported import MANIFEST, is_exported, read_manifest
from uwe_jax.models.loaded import LoadedModel
from uwe_jax.models.loading import load_model
from uwe_jax.models.remote_workdir import make_local
from uwe_jax.models.sentence_modules import not_applied
from uwe_jax.models.wheels import pinned_encoder
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.json_file import read_json
from uwe_jax.training.workdir import TRAINED_ON

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


class Subject(NamedTuple):
    """A model with its provenance."""

    model: LoadedModel  # as it ranks
    base_model: str  # hub id of the encoder that training started from; empty where it is not known
    training: dict[str, Any]  # record for the manifest and the card; empty for an encoder as it was published
    hashes: TrainingHashes | None  # training hashes, where they are known


def subject_of(name: str, *, cache_dir: Path, max_tokens: int | None) -> Subject:
    """Loads the model of a name (see `load_model`), with its provenance.

    Raises:
      UserError: there is no such model, or it cannot be read.
    """
    name = make_local(name, cache_dir)
    model = load_model(name, cache_dir=cache_dir, max_tokens=max_tokens)
    hashes = TrainingHashes.read(Path(name).expanduser() / TRAINED_ON)
    record = training_record(model, name)
    check_record(record, f"{model.folder / MANIFEST if model.stored_fingerprint else Path(name) / 'summary.json'}")
    return Subject(model, _base_model(model, name), record, hashes)


def check_modules(subject: Subject) -> None:
    """Checks that mean pooling without prompts, which every export declares, is right for a model.

    Training never uses the pooling, layers and prompts of the encoder that it started from.

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


def training_record(model: LoadedModel, checkpoint: str) -> dict[str, Any]:
    """Returns the training of a model for publication, with folders of the author's machine cut to their last part.

    Args:
      model: that is exported.
      checkpoint: as the user named it.

    Returns:
      `LoadedModel.training`. Where `checkpoint` is the folder of a run whose summary is of the same step, `results` has
      the run's own metrics before and after training; `started_from` is the record of the export that training
      continued from, if any. Empty for an encoder as it was published.

    Raises:
      UserError: the run's summary is damaged.
    """
    record = json.loads(json.dumps(model.training))
    if not record or model.stored_fingerprint:  # an export is exported again as it is
        return record
    record["config"] = without_folders(record["config"])
    path = Path(checkpoint).expanduser() / "summary.json"
    if path.exists():  # an unfinished run has none
        summary = read_json(path, "Restore it from a copy, or remove it to export without results.")
        if summary.get("step") == record["step"]:
            record["results"] = {key: summary.get(key) for key in ("held_out", "before", "after")}
    if is_exported(model.folder):
        earlier = read_manifest(model.folder)
        record["started_from"] = {key: earlier.get(key) for key in ("name", "fingerprint", "training")}
    return record


def _base_model(model: LoadedModel, checkpoint: str) -> str:
    if is_exported(model.folder):
        return str(read_manifest(model.folder).get("base_model", ""))
    if not model.training:
        return hub_id(checkpoint.partition(":")[0])
    return "" if model.training["encoder"] == "local folder" else hub_id(model.training["config"]["encoder"]["name"])


def hub_id(name: str) -> str:
    """Returns the hub id that an encoder's name means; empty for a folder.

    >>> hub_id("all-MiniLM-L6-v2"), hub_id("my-org/my-model"), hub_id("/home/me/encoder")
    ('sentence-transformers/all-MiniLM-L6-v2', 'my-org/my-model', '')
    """
    if pinned := pinned_encoder(name):
        return pinned.hub_id
    return name if _HUB_ID.fullmatch(name) and not Path(name).exists() else ""


def without_folders(config: dict[str, Any]) -> dict[str, Any]:
    """Cuts the paths of a run's config to their last part.

    >>> without_folders({"workdir": "/home/me/runs/mine", "source": {"path": "data/esco", "language": "en"}})
    {'workdir': 'mine', 'source': {'path': 'esco', 'language': 'en'}}
    """
    cut: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            cut[key] = without_folders(value)
        elif key in ("workdir", "path", "tasks_path", "cache_dir") or (key == "name" and not hub_id(value)):
            cut[key] = Path(value).name
        else:
            cut[key] = value
    return cut
