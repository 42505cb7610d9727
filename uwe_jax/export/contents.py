"""Writes the files that transformers, sentence-transformers and the shipped scorer read."""

from __future__ import annotations

import importlib.resources
import shutil
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from uwe_jax.models.folder import CONFIG, TOKENISER_FILES, WEIGHTS
from uwe_jax.models.loaded import LoadedModel
from uwe_jax.models.weights import params_to_hf
from uwe_jax.runtime.files import write_json

SCORER = "uwe_scorer.py"
_POOLER = ("pooler.dense.weight", "pooler.dense.bias")
# The names of classes and settings that every version of sentence-transformers from 2 on reads.
_MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]
_SENTENCE_TRANSFORMERS = {
    "__version__": {"sentence_transformers": "2.0.0"},  # the oldest that reads the folder
    "prompts": {},
    "default_prompt_name": None,
    "similarity_fn_name": "cosine",
}


def write_encoder(model: LoadedModel, folder: Path) -> None:
    """Writes config, weights and tokeniser, and the settings of sentence-transformers for mean pooling.

    The pooler, which neither training nor token embeddings use, is copied from the published encoder: without one,
    transformers initialises it at random and warns that the model needs training.
    """
    config = model.model.encoder.config
    write_json(folder / CONFIG, config.to_hf())
    tensors = params_to_hf(model.params["encoder"], config) | _pooler(model.folder)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / WEIGHTS).chmod((folder / CONFIG).stat().st_mode)  # safetensors makes it readable by the owner alone
    for name in TOKENISER_FILES:
        if (model.folder / name).is_file():
            shutil.copyfile(model.folder / name, folder / name)
    write_json(folder / "modules.json", _MODULES)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": model.max_tokens, "do_lower_case": False})
    write_json(folder / "config_sentence_transformers.json", _SENTENCE_TRANSFORMERS)
    pooling = {"word_embedding_dimension": config.width, "pooling_mode_mean_tokens": True}
    others = ("cls_token", "max_tokens", "mean_sqrt_len_tokens")
    write_json(folder / "1_Pooling" / CONFIG, pooling | {f"pooling_mode_{mode}": False for mode in others})


def write_scorer(folder: Path) -> None:
    """Writes the PyTorch module of the scorers, which reads its settings from the manifest."""
    text = importlib.resources.files("uwe_jax.export").joinpath("shipped", f"{SCORER}.txt").read_bytes()
    (folder / SCORER).write_bytes(text)


def _pooler(folder: Path) -> dict[str, np.ndarray]:
    """Reads the pooler of the encoder that training started from; empty where it has none."""
    with safe_open(folder / WEIGHTS, framework="numpy") as tensors:
        names = {name.removeprefix("bert.").removeprefix("mpnet."): name for name in tensors.keys()}  # noqa: SIM118
        if not names.keys() >= set(_POOLER):
            return {}
        return {name: tensors.get_tensor(names[name]).astype(np.float32) for name in _POOLER}
