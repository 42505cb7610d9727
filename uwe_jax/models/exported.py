"""An exported folder read back into the model that was exported.

Beside what PyTorch reads, the folder holds `uwe_jax.json`:

  format       1; a reader refuses what is newer than itself
  uwe_jax      the version that wrote it
  name         of the model, for people
  base_model   hub id of the encoder that training started from; empty where it is not known
  fingerprint  see `LoadedModel.fingerprint`
  max_tokens   of a text
  dtype        of the activations in training; the parameters in model.safetensors are float32 whatever it is
  scorer       settings of the scorer, with tau_a as it was learned
  learned      the scorer's own parameters, by name: numbers
  training     see `LoadedModel.training`, and what the export adds; {} for an encoder as it was published
  files        {name: [bytes, CRC-32]} of all other files of the folder
"""

from __future__ import annotations

import dataclasses
import reprlib
import zlib
from pathlib import Path
from typing import Any, TypeVar

import jax.numpy as jnp
import numpy as np

import uwe_jax
from uwe_jax.config import EncoderSettings, ScorerSettings
from uwe_jax.models.folder import CONFIG, TOKENIZERS, WEIGHTS
from uwe_jax.models.loaded import LoadedModel
from uwe_jax.models.pretrained import read_config, read_params
from uwe_jax.models.uwe import UweModel
from uwe_jax.models.weights import check_finite
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.json_file import read_json
from uwe_jax.runtime.settings import from_mapping
from uwe_jax.scoring.scorer_text import scorer_text

MANIFEST = "uwe_jax.json"
FORMAT = 1
TOKENISER_FILES = (*TOKENIZERS, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
_BLOCK = 1 << 22

T = TypeVar("T")


def is_exported(folder: Path) -> bool:
    """Whether the folder says of itself that it is an export."""
    return (folder / MANIFEST).is_file()


def load_exported(folder: Path, *, cache_dir: Path, max_tokens: int | None = None) -> LoadedModel:
    """The model of an exported folder: its parameters, its scores and its fingerprint are those of what was exported.

    Args:
      folder: made by `uwe_jax.export`.
      cache_dir: of token tables.
      max_tokens: longer texts lose their end; None takes the number that the folder was exported with.

    Raises:
      UserError: a newer version wrote it, a file is missing, or one differs from what was exported.
    """
    manifest = read_manifest(folder)
    files = written_files(folder, manifest)
    read = [name for name in (CONFIG, WEIGHTS, *TOKENISER_FILES) if name in files]
    if wrong := changed(folder, {name: files[name] for name in read}):
        raise UserError(
            f"{folder} is not as it was exported: {', '.join(wrong)}. Export again or copy it again; to use the folder "
            f"as a plain encoder, without its scorer, remove {MANIFEST}."
        )
    encoder = read_config(folder)
    name = _part(folder, manifest, "name", str)
    settings, scorer, learned = _settings(folder, manifest)
    training = _part(folder, manifest, "training", dict)
    step = f", step {training['step']}" if "step" in training else ""
    return LoadedModel(
        name=name,
        description=f"{name}{step}, exported by uwe_jax {manifest.get('uwe_jax')}; {scorer_text(scorer)}",
        model=UweModel.create(encoder, settings, scorer),
        params={"encoder": read_params(folder, encoder), "scorer": learned},
        folder=folder,
        cache_dir=cache_dir,
        max_tokens=_part(folder, manifest, "max_tokens", int) if max_tokens is None else max_tokens,
        training=training,
        stored_fingerprint=_part(folder, manifest, "fingerprint", str),
    )


def manifest_of(model: LoadedModel, base_model: str, training: dict[str, Any]) -> dict[str, Any]:
    """What `load_exported` reads of a model, but for `files`."""
    return {
        "format": FORMAT,
        "uwe_jax": uwe_jax.__version__,
        "name": model.name,
        "base_model": base_model,
        "fingerprint": model.fingerprint,
        "max_tokens": model.max_tokens,
        "dtype": jnp.dtype(model.model.encoder.dtype).name,
        "scorer": dataclasses.asdict(model.scorer),
        "learned": {name: float(value) for name, value in model.params["scorer"].items()},
        "training": training,
    }


def read_manifest(folder: Path) -> dict[str, Any]:
    """The content of a folder's `uwe_jax.json`.

    Raises:
      UserError: it cannot be read, or a newer version wrote it.
    """
    path = folder / MANIFEST
    manifest = read_json(path, "Export again or copy it again.")
    found = manifest.get("format")
    if type(found) is not int:
        raise UserError(f"{path} is not of an export: it has no format number. Export again or copy it again.")
    if found > FORMAT:
        raise UserError(
            f"{path} has format {found}, written by uwe_jax {manifest.get('uwe_jax')}; this is uwe_jax "
            f"{uwe_jax.__version__}, which reads formats up to {FORMAT}. Install the newer version."
        )
    return manifest


def written_files(folder: Path, manifest: dict[str, Any]) -> dict[str, list[int]]:
    """Names of the files that an export was written with, and their checksums.

    Raises:
      UserError: they are not as `uwe_jax.export` writes them.
    """
    files = _part(folder, manifest, "files", dict)
    if not all(isinstance(entry, list) and [type(part) for part in entry] == [int, int] for entry in files.values()):
        raise UserError(f"{folder / MANIFEST}: files holds other things than sizes and checksums. Export again.")
    return files


def checksum(path: Path) -> list[int]:
    """A file's size in bytes and the CRC-32 of its content."""
    crc, size = 0, 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            crc, size = zlib.crc32(block, crc), size + len(block)
    return [size, crc]


def changed(folder: Path, files: dict[str, list[int]]) -> list[str]:
    """A phrase for every file that is missing or is not what its checksum was taken of."""
    phrases = []
    for name, (size, crc) in files.items():
        path = folder / name
        try:
            if not path.is_file():
                phrases.append(f"{name} is missing")
            elif (found := path.stat().st_size) != size:
                phrases.append(f"{name} has {found:,} bytes instead of {size:,}")
            elif checksum(path) != [size, crc]:
                phrases.append(f"{name} has other content")
        except OSError as error:
            phrases.append(f"{name} cannot be read ({error.strerror})")
    return phrases


def files_in(folder: Path) -> list[str]:
    """Names of all files of a folder, with those of the folders in it, sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def _part(folder: Path, manifest: dict[str, Any], key: str, kind: type[T]) -> T:
    value = manifest.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise UserError(
            f"{folder / MANIFEST}: {key} is {reprlib.repr(value)}; it must be of type {kind.__name__}. Export again or "
            "copy it again."
        )
    return value


def _settings(folder: Path, manifest: dict[str, Any]) -> tuple[EncoderSettings, ScorerSettings, dict[str, Any]]:
    """Encoder and scorer of a manifest, and the scorer's own parameters."""
    learned = _part(folder, manifest, "learned", dict)
    values = {**_part(folder, manifest, "scorer", dict), "learn_tau_a": bool(learned)}
    dtype = _part(folder, manifest, "dtype", str)
    try:
        encoder = EncoderSettings(name=str(folder), dtype=dtype)
        scorer = from_mapping(ScorerSettings, values, "scorer.")
        own = {key: np.asarray(value, np.float32) for key, value in learned.items()}
        if any(value.shape for value in own.values()) or own.keys() - {"log_tau_a"}:
            raise ValueError("learned has other things than the number log_tau_a")
        check_finite(own, "scorer")
    except (UserError, TypeError, ValueError) as error:
        raise UserError(f"{folder / MANIFEST}: {error} Export again or copy it again.") from error
    return encoder, scorer, own
