"""A pretrained encoder, ready to compute with: config, parameters, and the folder of its tokeniser."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import ml_dtypes  # noqa: F401  # teaches numpy bfloat16, which some weights are saved in
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
    """An encoder as it was published."""

    config: EncoderConfig
    params: Params  # float32 arrays of numpy, for `Encoder.apply({"params": ...})`
    folder: Path  # holds the tokeniser
    provenance: str  # where it was found, for logs and reports


def load_encoder(name: str, *, cache_dir: Path | None = None) -> PretrainedEncoder:
    """Finds an encoder (see `resolve_encoder`) and reads its config and parameters.

    Raises:
      UserError: it is not found, not supported, or damaged.
    """
    found = resolve_encoder(name, cache_dir=cache_dir)
    warn_of_not_applied(name, found.folder)
    config = read_config(found.folder)
    params = read_params(found.folder, config)
    return PretrainedEncoder(config, params, found.folder, found.provenance)


def read_config(folder: Path) -> EncoderConfig:
    """The encoder's config from `config.json` of a folder.

    Raises:
      UserError: the file cannot be read, or describes an encoder that is not supported.
    """
    path = folder / CONFIG
    try:
        return EncoderConfig.from_hf(read_json(path, "Fetch the encoder again."))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def read_params(folder: Path, config: EncoderConfig) -> Params:
    """The encoder's parameters from `model.safetensors` of a folder; see `params_from_hf`.

    The file's header says what it holds: what does not fit the config is refused before any of it is read.

    Raises:
      UserError: the file is damaged, is of another encoder than the config, or holds values that are not finite.
    """
    path = folder / WEIGHTS
    try:
        with safe_open(path, framework="numpy") as tensors:
            shapes = {name: tensors.get_slice(name).get_shape() for name in tensors.keys()}  # noqa: SIM118
            return params_from_shapes(shapes, tensors.get_tensor, config)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} is damaged or cannot be read: {error}. Fetch the encoder again.") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
