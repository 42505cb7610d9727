"""An encoder's config.json and weights, and its parameters by Flax and Hugging Face names, by one table."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from uwe_jax.models.config import EncoderConfig
from uwe_jax.models.folder import CONFIG
from uwe_jax.models.tensor_files import open_tensors
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.json_file import read_json
from uwe_jax.runtime.progress import some

LOG = logging.getLogger(__name__)

Params = dict[str, Any]

# Saved tensors that token embeddings do not depend on: poolers, heads of training, index buffers.
_NOT_NEEDED = (
    *("pooler.", "cls.", "lm_head.", "classifier.", "embeddings.position_ids", "embeddings.token_type_ids"),
    *("vocab_transform.", "vocab_layer_norm.", "vocab_projector.", "head.", "decoder."),
)

_NORM = (("scale", "weight"), ("bias", "bias"))
_POOLER = ("pooler.dense.weight", "pooler.dense.bias")  # of families that have one


class WeightName(NamedTuple):
    """One parameter."""

    path: tuple[str, ...]  # in the Flax tree
    hf: str  # Hugging Face name
    shape: tuple[int, ...]  # in Flax
    transposed: bool = False  # a matrix that PyTorch stores as [out, in] and Flax as [in, out]

    @property
    def hf_shape(self) -> tuple[int, ...]:
        return self.shape[::-1] if self.transposed else self.shape


def name_table(config: EncoderConfig) -> tuple[WeightName, ...]:
    """Every parameter of the encoder, in the order of its family's `weights`."""
    family, names = config.family, []
    inner = [module for module in family.weights if module.startswith("layer/")]
    for module in family.weights:
        if module not in inner:
            names += _parameters(config, module, family.weights[module])
        elif module == inner[0]:
            for index in range(config.layers):
                for each in inner:
                    if not (family.pre_norm and index == 0 and each == "layer/attention/norm"):
                        ours = each.replace("layer", f"layer_{index}", 1)
                        names += _parameters(config, ours, family.weights[each].format(index))
    return tuple(names)


def _parameters(config: EncoderConfig, module: str, hf: str) -> list[WeightName]:
    """Parameters of one module of the encoder, given its path."""
    d, path = config.width, tuple(module.split("/"))
    rows = {
        "word": config.vocab_size,
        "position": config.max_positions,
        "token_type": config.token_types,
        "relative_bias": config.relative_buckets,
    }
    if path[-1] in rows:
        shape = (rows[path[-1]], config.heads if path[-1] == "relative_bias" else d)
        return [WeightName((*path, "embedding"), f"{hf}.weight", shape)] if shape[0] else []
    biases = config.family.biases
    if path[-1].endswith("norm"):
        scale, bias = (WeightName((*path, name), f"{hf}.{theirs}", (d,)) for name, theirs in _NORM)
        return [scale, bias] if biases else [scale]
    up = config.intermediate * (2 if config.family.gated else 1)
    inputs, outputs = {"qkv": (d, 3 * d), "up": (d, up), "down": (config.intermediate, d)}.get(path[-1], (d, d))
    kernel = WeightName((*path, "kernel"), f"{hf}.weight", (inputs, outputs), transposed=True)
    return [kernel, WeightName((*path, "bias"), f"{hf}.bias", (outputs,))] if biases else [kernel]


def read_config(folder: Path) -> EncoderConfig:
    """Reads `config.json` of a folder; raises UserError if it cannot be read or is not supported."""
    path = folder / CONFIG
    try:
        return EncoderConfig.from_hf(read_json(path, "Download the encoder again."))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def read_params(folder: Path, config: EncoderConfig) -> Params:
    """Reads the weights of a folder, as NumPy float32, after their shapes were checked in the files' headers.

    Raises UserError if a file is damaged, does not match the config, or has values that are not finite.
    """
    with open_tensors(folder) as tensors:
        return params_from_shapes(tensors.shapes, tensors.read, config)


def read_pooler(folder: Path) -> dict[str, np.ndarray]:
    """Reads the pooler of an encoder, float32 by Hugging Face name; empty where it has none.

    Neither training nor token embeddings use it, but without one transformers initialises it at random and warns that
    the model needs training.
    """
    with open_tensors(folder) as tensors:
        names = {name[name.find("pooler.") :]: name for name in tensors.shapes}
        if not names.keys() >= set(_POOLER):
            return {}
        return {name: tensors.read(names[name]).astype(np.float32) for name in _POOLER}


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
    own = config.family.prefix
    prefixes = ("", own, "0.auto_model.", f"0.auto_model.{own}")  # the last two are of sentence-transformers
    prefix = max(prefixes, key=lambda prefix: sum(prefix + name.hf in stored for name in names))
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
