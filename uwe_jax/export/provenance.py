"""What an export says of the training behind it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from uwe_jax.models.exported import is_exported, read_manifest
from uwe_jax.models.loaded import LoadedModel
from uwe_jax.models.wheels import pinned_encoder
from uwe_jax.runtime.json_file import read_json

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def training_record(model: LoadedModel, checkpoint: str) -> dict[str, Any]:
    """The training of a model, for publication: folders of the machine it ran on are cut to their last part.

    Args:
      model: that is exported.
      checkpoint: as the user named it.

    Returns:
      `LoadedModel.training`. Where `checkpoint` is the folder of a run whose summary is of the same step, its `results`
      are the run's own, before and after training. `started_from` is the record of the export that training went on
      from, where it did. Empty for an encoder as it was published.

    Raises:
      UserError: the run's summary is damaged.
    """
    record = json.loads(json.dumps(model.training))
    if not record:
        return {}
    if model.stored_fingerprint:  # an export, exported again
        return record
    folder = Path(checkpoint).expanduser()
    record["config"] = without_folders(record["config"])
    path = folder / "summary.json"
    # A run that is still going on has none.
    summary = (
        read_json(path, "Restore it from a copy, or remove it to export without results.") if path.exists() else {}
    )
    if summary.get("step") == record["step"]:
        record["results"] = {key: summary.get(key) for key in ("held_out", "before", "after")}
    if is_exported(model.folder):
        earlier = read_manifest(model.folder)
        record["started_from"] = {key: earlier.get(key) for key in ("name", "fingerprint", "training")}
    return record


def base_model(model: LoadedModel, checkpoint: str) -> str:
    """Hub id of the published encoder that a model started from; empty where it is not known.

    Args:
      model: that is exported.
      checkpoint: as the user named it: the encoder itself where nothing was trained.
    """
    if is_exported(model.folder):
        return str(read_manifest(model.folder).get("base_model", ""))
    if not model.training:
        return hub_id(checkpoint.partition(":")[0])
    return "" if model.training["encoder"] == "local folder" else hub_id(model.training["config"]["encoder"]["name"])


def hub_id(name: str) -> str:
    """The hub id that an encoder's name means; empty for a folder.

    >>> hub_id("all-MiniLM-L6-v2"), hub_id("my-org/my-model"), hub_id("/home/me/encoder")
    ('sentence-transformers/all-MiniLM-L6-v2', 'my-org/my-model', '')
    """
    if pinned := pinned_encoder(name):
        return pinned.hub_id
    return name if _HUB_ID.fullmatch(name) and not Path(name).exists() else ""


def without_folders(config: dict[str, Any]) -> dict[str, Any]:
    """A run's config whose paths are cut to their last part: what is published need not name the author's folders.

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
