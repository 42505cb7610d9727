"""Modules and prompts of sentence-transformers that an encoder's folder declares and this package does not apply."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import reprlib
from pathlib import Path
from typing import Any

from uwe_jax.models.folder import CONFIG
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.json_file import read_json

LOG = logging.getLogger(__name__)
MODULES = "modules.json"
_SETTINGS = "config_sentence_transformers.json"
_REMEDY = "Download the encoder again, or remove the file to use the folder as a plain encoder."
# Class names in modules.json: the encoder's present and former names, and modules that do not change cosine rankings.
_APPLIED = {"Transformer", "BERT", "MPNet", "RoBERTa", "DistilBERT", "XLMRoBERTa", "Normalize", "Dropout"}


def not_applied(folder: Path) -> tuple[str, ...]:
    """Describes the modules and prompts of a folder beyond its encoder and mean pooling, which change the scores.

    Raises UserError if a file that declares them is damaged.
    """
    root = _root(folder)
    if root is None:
        return ()
    phrases = []
    for name, path in _modules(root):
        if name == "Pooling":
            if (mode := _pooling(root / path / CONFIG)) != "mean":
                phrases.append(f"{mode} pooling")
        elif name not in _APPLIED:
            phrases.append(f"{name} layer")
    if prompts := _prompts(root):
        phrases.append(f"prompts ({', '.join(sorted(prompts))})")
    return tuple(phrases)


def warn_of_not_applied(name: str, folder: Path) -> None:
    """Logs a warning for declared modules and prompts that are not applied; errors as in `not_applied`."""
    if phrases := not_applied(folder):
        LOG.warning(
            f"Encoder {name}: its folder declares {' and '.join(phrases)}, which uwe_jax does not apply: scores differ "
            "from those of sentence-transformers"
        )


def modules_digest(folder: Path) -> str:
    """Hexadecimal digest of a folder's modules, their files and the prompts."""
    digest = hashlib.sha256()
    if (root := _root(folder)) is not None:
        modules = _modules(root)
        digest.update(json.dumps([modules, _prompts(root)], sort_keys=True).encode())
        for _, path in modules:
            for file in sorted((root / path).iterdir()) if path and (root / path).is_dir() else ():
                # The encoder's own files are part of other digests.
                if file.is_file() and file.parent != folder:
                    with file.open("rb") as content:
                        digest.update(f"{path}/{file.name}\0".encode())
                        digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def encoder_below(folder: Path) -> str:
    """Name of the encoder's subfolder according to modules.json; empty if there is none."""
    try:
        modules = _modules(folder) if (folder / MODULES).is_file() else []
    except UserError:
        return ""
    path = modules[0][1] if modules else ""
    return path if path and (folder / path / CONFIG).is_file() else ""


def _root(folder: Path) -> Path | None:
    """Folder whose modules.json names this encoder: its own, or the parent."""
    if (folder / MODULES).is_file():
        return folder
    above = folder.parent
    return above if encoder_below(above) == folder.name else None


def _modules(root: Path) -> list[tuple[str, str]]:
    """Class and folder of every module, in order."""
    path = root / MODULES
    entries = read_json(path, _REMEDY, kind=list)
    if not all(isinstance(each, dict) and isinstance(each.get("type"), str) for each in entries):
        raise UserError(f"{path} does not name the type of every module. {_REMEDY}")
    modules = [(each["type"].rpartition(".")[2], each.get("path", "")) for each in entries]
    for _, where in modules:
        if not isinstance(where, str) or ".." in Path(where).parts or Path(where).is_absolute():
            raise UserError(
                f"{path} has the path {reprlib.repr(where)}; it must be a folder beside the file. {_REMEDY}"
            )
    return modules


def _pooling(path: Path) -> str:
    """Name of the pooling mode: sentence-transformers has one key in newer versions, one per mode in older ones."""
    if not path.exists():
        return f"unknown ({path.parent.name}/{CONFIG} is missing)"
    values = read_json(path, _REMEDY)
    modes: Any = values.get("pooling_mode")
    if modes is None:
        modes = [key for key in values if key.startswith("pooling_mode_") and values[key]] or "mean"
    named = [modes] if isinstance(modes, str) else modes
    if not isinstance(named, list) or not all(isinstance(mode, str) for mode in named):
        raise UserError(f"{path} has the pooling_mode {reprlib.repr(modes)}; it must be a name or a list. {_REMEDY}")
    return " and ".join(re.sub("^pooling_mode_|_tokens?$", "", mode) for mode in named)


def _prompts(root: Path) -> dict[str, str]:
    """Prompts that are not empty, by name."""
    path = root / _SETTINGS
    if not path.exists():
        return {}
    prompts = read_json(path, _REMEDY).get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(text, str | None) for text in prompts.values()):
        raise UserError(f"{path} has the prompts {reprlib.repr(prompts)}; they must be texts by name. {_REMEDY}")
    return {name: text for name, text in prompts.items() if text}
