"""Reading of exported folders.

Besides the files that PyTorch reads, an exported folder has `uwe_jax.json`:

  format       1; readers refuse newer formats
  uwe_jax      version that wrote it
  name         of the model, for people
  base_model   hub id of the encoder that training started from; empty if unknown
  fingerprint  see `LoadedModel.fingerprint`
  max_tokens   of a text
  dtype        of the activations in training; the parameters in model.safetensors are always float32
  scorer       settings of the scorer, with tau_a as it was learned
  learned      the scorer's own parameters: numbers by name
  training     `LoadedModel.training` and additions of the export; {} for an encoder as published
  files        {name: [bytes, CRC-32]} of all other files of the folder
"""

from __future__ import annotations

import dataclasses
import reprlib
import zlib
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax.numpy as jnp
import numpy as np

import uwe_jax
from uwe_jax.config import Config, EncoderSettings, ScorerSettings
from uwe_jax.models.folder import CONFIG, MANIFEST, TOKENISER_FILES, WEIGHTS
from uwe_jax.models.loaded import LoadedModel
from uwe_jax.models.uwe import LEARNED, UweModel
from uwe_jax.models.weights import check_finite, read_config, read_params
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.json_file import read_json
from uwe_jax.runtime.settings import from_mapping
from uwe_jax.scoring.scorer_text import scorer_text

FORMAT = 1
_BLOCK = 1 << 22

T = TypeVar("T")


def is_exported(folder: Path) -> bool:
    """Tells whether a folder is an export."""
    return (folder / MANIFEST).is_file()


def exported_fingerprint(folder: Path) -> str:
    """Returns the fingerprint of the export in a folder; empty for an encoder as it was published."""
    return str(read_manifest(folder).get("fingerprint", "")) if is_exported(folder) else ""


class ExportedRecord(NamedTuple):
    """Holds what an export records beside its scorer; see `LoadedModel`."""

    training: dict[str, Any]
    max_tokens: int


def exported_record(folder: Path) -> ExportedRecord:
    """Returns the record of the export in a folder, for a model that scores by another scorer; raises UserError."""
    manifest = read_manifest(folder)
    return ExportedRecord(_value(folder, manifest, "training", dict), _value(folder, manifest, "max_tokens", int))


def check_start(folder: Path, meta: dict[str, Any], config: Config, workdir: Path | str) -> None:
    """Checks that a run's model can be computed: the weights that it started from are a part of it by WiSE-FT.

    Args:
      folder: that the name of the run's encoder means now.
      meta: of a checkpoint of the run.

    Raises:
      UserError: the run started from an export, and the name means another one by now.
    """
    alpha, started = config.encoder.wise_ft_alpha, meta["encoder"].get("fingerprint", "")  # "" in earlier versions
    if alpha != 1 and started and (now := exported_fingerprint(folder)) != started:
        raise UserError(
            f"{workdir} started from {config.encoder.name} of fingerprint {started}, whose weights are a part of its "
            f"own (encoder.wise_ft_alpha is {alpha:g}); that name now means {now or 'no export'}. Put that export "
            f"back, or use the run with the uwe_jax that trained it ({meta.get('version', 'unknown')})."
        )


def load_exported(folder: Path, *, cache_dir: Path, max_tokens: int | None = None) -> LoadedModel:
    """Loads an exported model; its parameters, scores and fingerprint are those of the model that was exported.

    `max_tokens` truncates longer texts; None takes the limit of the export. Raises UserError if a newer version wrote
    it, or a file is missing or differs from the one exported.
    """
    manifest = read_manifest(folder)
    files = written_files(folder, manifest)
    read = [name for name in (CONFIG, WEIGHTS, *TOKENISER_FILES) if name in files]
    if wrong := changed(folder, {name: files[name] for name in read}):
        raise UserError(
            f"{folder} was changed after the export: {', '.join(wrong)}. Export or copy it again; to use the folder as "
            f"a plain encoder, without its scorer, remove {MANIFEST}."
        )
    encoder = read_config(folder)
    name = _value(folder, manifest, "name", str)
    settings, scorer, learned = _settings(folder, manifest)
    training, limit = exported_record(folder)
    step = f", step {training['step']}" if "step" in training else ""
    return LoadedModel(
        name=name,
        description=f"{name}{step}, exported by uwe_jax {manifest.get('uwe_jax')}; {scorer_text(scorer)}",
        model=UweModel.create(encoder, settings, scorer),
        params={"encoder": read_params(folder, encoder), "scorer": learned},
        folder=folder,
        cache_dir=cache_dir,
        max_tokens=limit if max_tokens is None else max_tokens,
        training=training,
        stored_fingerprint=_value(folder, manifest, "fingerprint", str),
        trained_in=folder,
    )


def manifest_of(model: LoadedModel, base_model: str, training: dict[str, Any]) -> dict[str, Any]:
    """Manifest of a model for `load_exported`, without `files`."""
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
    """Reads `uwe_jax.json`; a UserError if it cannot be read, or a newer version wrote it."""
    path = folder / MANIFEST
    manifest = read_json(path, "Export or copy it again.")
    found = manifest.get("format")
    if type(found) is not int:
        raise UserError(f"{path} is not an export's: it has no format number. Export or copy it again.")
    if found > FORMAT:
        raise UserError(
            f"{path} has format {found}, written by uwe_jax {manifest.get('uwe_jax')}; this is uwe_jax "
            f"{uwe_jax.__version__}, which reads formats up to {FORMAT}. Install the newer version."
        )
    return manifest


def written_files(folder: Path, manifest: dict[str, Any]) -> dict[str, list[int]]:
    """Checksums by file name of an export; a UserError if they are malformed."""
    files = _value(folder, manifest, "files", dict)
    if not all(isinstance(entry, list) and [type(part) for part in entry] == [int, int] for entry in files.values()):
        raise UserError(f"{folder / MANIFEST}: files must hold a size and a checksum per file. Export again.")
    return files


def checksum(path: Path) -> list[int]:
    """Size in bytes and CRC-32 of a file."""
    crc, size = 0, 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            crc, size = zlib.crc32(block, crc), size + len(block)
    return [size, crc]


def changed(folder: Path, files: dict[str, list[int]]) -> list[str]:
    """Describes every file that is missing, unreadable or differs from its checksum."""
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
    """Relative names of all files in a folder and its subfolders, sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def _value(folder: Path, manifest: dict[str, Any], key: str, kind: type[T]) -> T:
    value = manifest.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise UserError(
            f"{folder / MANIFEST}: {key} is {reprlib.repr(value)}; it must be of type {kind.__name__}. Export or copy "
            "it again."
        )
    return value


def _settings(folder: Path, manifest: dict[str, Any]) -> tuple[EncoderSettings, ScorerSettings, dict[str, Any]]:
    """Encoder, scorer and the scorer's own parameters."""
    learned = _value(folder, manifest, "learned", dict)
    values = {**_value(folder, manifest, "scorer", dict), "learn_tau_a": bool(learned)}
    dtype = _value(folder, manifest, "dtype", str)
    try:
        encoder = EncoderSettings(name=str(folder), dtype=dtype)
        scorer = from_mapping(ScorerSettings, values, "scorer.")
        own = {key: np.asarray(value, np.float32) for key, value in learned.items()}
        if any(value.shape for value in own.values()) or own.keys() - set(LEARNED):
            raise ValueError(f"learned may only hold the numbers {' and '.join(LEARNED)}.")
        check_finite(own, "scorer")
    except (UserError, TypeError, ValueError) as error:
        raise UserError(f"{folder / MANIFEST}: {error} Export or copy it again.") from error
    return encoder, scorer, own
