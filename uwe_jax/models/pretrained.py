"""Reading of pretrained encoders: config, parameters, and the folder of the tokeniser."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import ml_dtypes  # noqa: F401  # registers bfloat16 with numpy
from safetensors import SafetensorError, safe_open

from uwe_jax.models.config import EncoderConfig
from uwe_jax.models.folder import CONFIG, WEIGHTS
from uwe_jax.models.resolve import resolve_encoder
from uwe_jax.models.sentence_modules import warn_of_not_applied
from uwe_jax.models.weights import Params, params_from_shapes
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.json_file import read_json


@dataclass(frozen=True)
class PretrainedEncoder:
    """Encoder as published."""

    config: EncoderConfig
    params: Params  # NumPy float32, for `Encoder.apply({"params": ...})`
    folder: Path  # of the tokeniser
    provenance: str  # for logs and reports


def load_encoder(name: str, *, cache_dir: Path | None = None) -> PretrainedEncoder:
    """Finds an encoder (see `resolve_encoder`) and reads its config and parameters.

    Raises:
      UserError: it is not found, not supported, or damaged.
    """
    found = resolve_encoder(name, cache_dir=cache_dir)
    warn_of_not_applied(name, found.folder)
    config = read_config(found.folder)
    return PretrainedEncoder(config, read_params(found.folder, config), found.folder, found.provenance)


def read_config(folder: Path) -> EncoderConfig:
    """Reads `config.json` of a folder; a UserError if it cannot be read or is not supported."""
    path = folder / CONFIG
    try:
        return EncoderConfig.from_hf(read_json(path, "Download the encoder again."))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def read_params(folder: Path, config: EncoderConfig) -> Params:
    """Reads `model.safetensors` of a folder; see `params_from_hf`.

    Shapes are checked in the file's header, before any tensor is read.

    Raises:
      UserError: the file is damaged, does not match the config, or has values that are not finite.
    """
    path = folder / WEIGHTS
    try:
        with safe_open(path, framework="numpy") as tensors:
            shapes = {name: tensors.get_slice(name).get_shape() for name in tensors.keys()}  # noqa: SIM118
            return params_from_shapes(shapes, tensors.get_tensor, config)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} is damaged or cannot be read: {error}. Download the encoder again.") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
