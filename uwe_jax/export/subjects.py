"""Models to export, one or the average of several, with what is published of the training behind them."""

from __future__ import annotations

import dataclasses
import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from uwe_jax.data.training_hashes import TrainingHashes
from uwe_jax.export.model_card import check_record
from uwe_jax.models.exported import MANIFEST, is_exported, read_manifest
from uwe_jax.models.folder import TRAINED_ON
from uwe_jax.models.loaded import LoadedModel
from uwe_jax.models.loading import load_model
from uwe_jax.models.remote_workdir import make_local
from uwe_jax.models.sentence_modules import not_applied
from uwe_jax.models.uwe import weighted_sum
from uwe_jax.models.wheels import pinned_encoder
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.json_file import read_json
from uwe_jax.scoring.scorer_text import SCORER_OPTIONS, scorer_text

LOG = logging.getLogger(__name__)

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
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


class Subject(NamedTuple):
    """A model with its provenance."""

    model: LoadedModel  # as it ranks
    base_model: str  # hub id of the encoder that training started from; empty where it is not known
    training: dict[str, Any]  # record for the manifest and the card; empty for an encoder as it was published
    hashes: TrainingHashes | None  # training hashes, where they are known


def _single(name: str, *, cache_dir: Path, max_tokens: int | None) -> Subject:
    """Loads the model of a name (see `load_model`), with its provenance."""
    name = make_local(name, cache_dir)
    model = load_model(name, cache_dir=cache_dir, max_tokens=max_tokens)
    hashes = TrainingHashes.read(model.trained_in / TRAINED_ON) if model.trained_in else None
    record = training_record(model, name)
    check_record(record, f"{model.folder / MANIFEST if _was_exported(model) else Path(name) / 'summary.json'}")
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


def _was_exported(model: LoadedModel) -> bool:
    """Tells whether a model was loaded from an export, with the scorer of the export or another one."""
    return model.trained_in is not None and is_exported(model.trained_in)


def training_record(model: LoadedModel, checkpoint: str) -> dict[str, Any]:
    """Returns the training of a model for publication, with folders of the author's machine cut to their last part.

    Args:
      model: that is exported.
      checkpoint: as the user named it.

    Returns:
      `LoadedModel.training`. Where `checkpoint` is the folder of a run whose summary is of the same step, `results` has
      the run's own metrics before and after training; `started_from` is the record of the export that training
      continued from, if any. Empty for an encoder as it was published; of an export with another scorer without
      `results`, which are of the former one.

    Raises:
      UserError: the run's summary is damaged.
    """
    record = json.loads(json.dumps(model.training))
    started = record.pop("started", "")
    if not record or _was_exported(model):  # an export is exported again as it is
        if not model.stored_fingerprint:  # with another scorer
            record.pop("results", None)
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
        if started not in ("", earlier.get("fingerprint")):  # the name means another model since
            record["started_from"] |= {"fingerprint": started, "training": {}}
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
    >>> without_folders({"path": "/home/me/jobs.npz, titles.npz"})  # files of a teacher
    {'path': 'jobs.npz,titles.npz'}
    """
    cut: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            cut[key] = without_folders(value)
        elif key == "path":  # of a teacher it may name several files
            cut[key] = ",".join(Path(each.strip()).name for each in value.split(","))
        elif key in ("workdir", "tasks_path", "cache_dir") or (key == "name" and not hub_id(value)):
            cut[key] = Path(value).name
        else:
            cut[key] = value
    return cut


def subject_of(shares: Sequence[Share], *, cache_dir: Path, max_tokens: int | None) -> Subject:
    """Loads a model with its provenance, or a model whose encoder has the weighted sum of the parameters of several.

    theta = sum_k w_k theta_k with sum_k w_k = 1: a model soup (Wortsman et al., ICML 2022) where all weights are
    positive; task arithmetic (Ilharco et al., ICLR 2023) with one weight at 1, some at lambda and the pretrained
    encoder at minus their sum. The models should have been trained from the same encoder, so that their parameters are
    near each other. The scorer is that of the first trained model, with its own parameters.

    Raises:
      UserError: a model cannot be read, or architectures, tokenisers or scorers differ.
    """
    subjects = [_single(share.name, cache_dir=cache_dir, max_tokens=max_tokens) for share in shares]
    if len(subjects) == 1:
        return subjects[0]
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
