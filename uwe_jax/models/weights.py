"""An encoder's config.json and model.safetensors, and its parameters by Flax and Hugging Face names, by one table."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes  # noqa: F401  # registers bfloat16 with numpy
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import SafetensorError, safe_open

from uwe_jax.models.config import EncoderConfig
from uwe_jax.models.folder import CONFIG, WEIGHTS
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.json_file import read_json
from uwe_jax.runtime.progress import some

LOG = logging.getLogger(__name__)

Params = dict[str, Any]

# Prefixes of all names: none, the model's own, or that of sentence-transformers.
_PREFIXES = ("", "bert.", "mpnet.", "0.auto_model.", "0.auto_model.bert.", "0.auto_model.mpnet.")

# Saved tensors that token embeddings do not depend on.
_NOT_NEEDED = ("pooler.", "cls.", "lm_head.", "classifier.", "embeddings.position_ids", "embeddings.token_type_ids")
_POOLER = ("pooler.dense.weight", "pooler.dense.bias")


class WeightName(NamedTuple):
    """One parameter."""

    path: tuple[str, ...]  # in the Flax tree
    hf: str  # Hugging Face name
    shape: tuple[int, ...]  # in Flax
    transposed: bool = False  # a matrix that PyTorch stores as [out, in] and Flax as [in, out]

    @property
    def hf_shape(self) -> tuple[int, ...]:
        return self.shape[::-1] if self.transposed else self.shape


# Parts of a layer: our path, then the name in BERT and in MPNet.
_LAYER_LINEARS = (
    (("attention", "query"), "attention.self.query", "attention.attn.q"),
    (("attention", "key"), "attention.self.key", "attention.attn.k"),
    (("attention", "value"), "attention.self.value", "attention.attn.v"),
    (("attention", "output"), "attention.output.dense", "attention.attn.o"),
    (("feed_forward", "up"), "intermediate.dense", "intermediate.dense"),
    (("feed_forward", "down"), "output.dense", "output.dense"),
)
_LAYER_NORMS = (
    (("attention", "norm"), "attention.output.LayerNorm", "attention.LayerNorm"),
    (("feed_forward", "norm"), "output.LayerNorm", "output.LayerNorm"),
)


def name_table(config: EncoderConfig) -> tuple[WeightName, ...]:
    """Every parameter of the encoder, in the order of the forward pass."""
    d = config.width
    mpnet = config.architecture == "mpnet"
    wide = {("feed_forward", "up"): (d, config.intermediate), ("feed_forward", "down"): (config.intermediate, d)}

    def norm(path: tuple[str, ...], hf: str) -> list[WeightName]:
        return [WeightName((*path, "scale"), f"{hf}.weight", (d,)), WeightName((*path, "bias"), f"{hf}.bias", (d,))]

    tables = {"word": config.vocab_size, "position": config.max_positions, "token_type": config.token_types}
    names = [
        WeightName(("embeddings", table, "embedding"), f"embeddings.{table}_embeddings.weight", (rows, d))
        for table, rows in tables.items()
        if rows
    ]
    names += norm(("embeddings", "norm"), "embeddings.LayerNorm")
    if config.relative_buckets:
        shape = (config.relative_buckets, config.heads)
        names.append(WeightName(("relative_bias", "embedding"), "encoder.relative_attention_bias.weight", shape))
    for index in range(config.layers):
        ours, theirs = f"layer_{index}", f"encoder.layer.{index}."
        for path, in_bert, in_mpnet in _LAYER_LINEARS:
            hf = theirs + (in_mpnet if mpnet else in_bert)
            inputs, outputs = wide.get(path, (d, d))
            names.append(WeightName((ours, *path, "kernel"), f"{hf}.weight", (inputs, outputs), transposed=True))
            names.append(WeightName((ours, *path, "bias"), f"{hf}.bias", (outputs,)))
        for path, in_bert, in_mpnet in _LAYER_NORMS:
            names += norm((ours, *path), theirs + (in_mpnet if mpnet else in_bert))
    return tuple(names)


def read_config(folder: Path) -> EncoderConfig:
    """Reads `config.json` of a folder; raises UserError if it cannot be read or is not supported."""
    path = folder / CONFIG
    try:
        return EncoderConfig.from_hf(read_json(path, "Download the encoder again."))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def read_params(folder: Path, config: EncoderConfig) -> Params:
    """Reads `model.safetensors` of a folder, as NumPy float32, after its shapes were checked in the file's header.

    Raises UserError if the file is damaged, does not match the config, or has values that are not finite.
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


def read_pooler(folder: Path) -> dict[str, np.ndarray]:
    """Reads the pooler of an encoder, float32 by Hugging Face name; empty where it has none.

    Neither training nor token embeddings use it, but without one transformers initialises it at random and warns that
    the model needs training.
    """
    with safe_open(folder / WEIGHTS, framework="numpy") as tensors:
        names = {name.removeprefix("bert.").removeprefix("mpnet."): name for name in tensors.keys()}  # noqa: SIM118
        if not names.keys() >= set(_POOLER):
            return {}
        return {name: tensors.get_tensor(names[name]).astype(np.float32) for name in _POOLER}


def params_from_hf(tensors: Mapping[str, np.ndarray], config: EncoderConfig) -> Params:
    """Converts tensors of any float type, as in model.safetensors, to a nested dict of float32 arrays.

    All names may have a common prefix such as "bert." or "0.auto_model."; poolers, heads and index buffers are skipped.

    Raises UserError if tensors are missing, have another shape than the config says or hold integers (all of them are
    named), or values are not finite.
    """
    return params_from_shapes({name: tensor.shape for name, tensor in tensors.items()}, tensors.__getitem__, config)


def params_from_shapes(
    shapes: Mapping[str, Sequence[int]], read: Callable[[str], np.ndarray], config: EncoderConfig
) -> Params:
    """`params_from_hf` that checks all shapes by name before it reads a tensor, each once, with `read`."""
    names = name_table(config)
    stored = {_current(name): name for name in shapes}
    prefix = max(_PREFIXES, key=lambda prefix: sum(prefix + name.hf in stored for name in names))
    missing = [name.hf for name in names if prefix + name.hf not in stored]
    if missing:
        raise UserError(
            f"{len(missing)} of the {len(names)} tensors of a {config.architecture} encoder are missing: "
            f"{some(missing)}. Found are {len(stored)}: {some(sorted(stored))}. "
            "Its config.json and its model.safetensors must be of the same model."
        )
    wrong = [
        f"{name.hf} is {list(shape)} instead of {list(name.hf_shape)}"
        for name in names
        if (shape := tuple(shapes[stored[prefix + name.hf]])) != name.hf_shape
    ]
    if wrong:
        raise UserError(
            f"{len(wrong)} tensors do not have the shape given by the encoder's config.json: {some(wrong)}. "
            "Its config.json and its model.safetensors must be of the same model."
        )
    _log_left_out(set(stored) - {prefix + name.hf for name in names}, prefix)
    flat = {}
    for name in names:
        tensor = _as_float32(name.hf, read(stored[prefix + name.hf]))
        flat[name.path] = np.ascontiguousarray(tensor.T) if name.transposed else tensor
    params = unflatten_dict(flat)
    check_finite(params, "weights")
    return params


def check_finite(params: Params, what: str) -> None:
    """Raises a UserError with the first array of `what`, as it is called, that has values that are not finite."""
    arrays = {"/".join(path): np.asarray(value) for path, value in flatten_dict(params).items()}
    # The extremes are finite exactly if all values are, and need no second array of that size.
    bad = [name for name, a in arrays.items() if a.size and not (np.isfinite(a.min()) and np.isfinite(a.max()))]
    if bad:
        count = int(np.sum(~np.isfinite(arrays[bad[0]])))
        raise UserError(
            f"{len(bad)} of the {len(arrays)} arrays of the {what} hold values that are not finite: first {bad[0]}, "
            f"{count:,} of its {arrays[bad[0]].size:,}. They are damaged, or their training diverged: download them "
            "again or use an earlier checkpoint."
        )


def params_to_hf(params: Mapping[str, Any], config: EncoderConfig) -> dict[str, np.ndarray]:
    """Inverse of `params_from_hf`: contiguous float32 tensors by Hugging Face name, without a prefix.

    Raises UserError if the parameters do not match the config.
    """
    tensors, flat = {}, flatten_dict(params)
    for name in name_table(config):
        value = flat.get(name.path)
        if value is None or np.shape(value) != name.shape:
            found = "missing" if value is None else f"{list(np.shape(value))}"
            raise UserError(
                f"Parameter {'/'.join(name.path)} is {found} instead of {list(name.shape)}: "
                "the parameters do not belong to the encoder of the config."
            )
        array = np.asarray(value, dtype=np.float32)
        # safetensors writes raw memory: a transposed view would be saved untransposed.
        tensors[name.hf] = np.ascontiguousarray(array.T if name.transposed else array)
    return tensors


def _as_float32(name: str, tensor: np.ndarray) -> np.ndarray:
    if tensor.dtype.kind in "biu":
        raise UserError(
            f"Tensor {name} holds integers ({tensor.dtype}): quantised weights are not supported. Save the "
            "encoder in float32, float16 or bfloat16."
        )
    with np.errstate(over="ignore"):  # overflow gives infinity, which check_finite refuses
        return np.asarray(tensor).astype(np.float32)


def _current(name: str) -> str:
    """Renames the norms of early BERT checkpoints, which have TensorFlow's names."""
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def _log_left_out(names: set[str], prefix: str) -> None:
    known = {
        name for name in names if name.removeprefix(prefix).startswith(_NOT_NEEDED) or name.startswith(_NOT_NEEDED)
    }
    if known:
        LOG.debug(f"Encoder weights: left out {some(sorted(known))}, which token embeddings do not use")
    if names - known:
        LOG.warning(f"Encoder weights: ignored unknown tensors {some(sorted(names - known))}")
