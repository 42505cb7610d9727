"""Writes the folders of an export that libraries for late interaction load: token embeddings, compared by MaxSim."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from uwe_jax.models.exported import TOKENISER_FILES
from uwe_jax.models.folder import CONFIG, WEIGHTS
from uwe_jax.models.loaded import LoadedModel
from uwe_jax.models.sentence_modules import MODULES, SETTINGS
from uwe_jax.runtime.files import write_json

MULTI_VECTOR, PYLATE = "multi_vector", "pylate"
LENGTHS = "sentence_bert_config.json"
_DENSE = "1_Dense"
# MultiVectorEncoder drops the pooling of a folder with single vectors and puts a random projection in its place, and
# says so in an info log alone. It reads this setting, which SentenceTransformer ignores, and raises an error with it.
NOT_MULTI_VECTOR = {"query_expansion": {"strategy": f"none; this folder has single vectors: load its {MULTI_VECTOR}/"}}


def write_multi_vector(model: LoadedModel, folder: Path) -> None:
    """Writes `multi_vector/`, a MultiVectorEncoder of sentence-transformers 6: encoder, mask and unit token embeddings.

    Its similarity is the sum over query tokens of the best cosine, or the mean for a scorer that takes the mean.
    """
    inside = folder / MULTI_VECTOR
    _share_encoder(folder, inside)
    classes = (
        ("", "base.modules.transformer.Transformer"),
        ("1_MultiVectorMask", "multi_vector_encoder.modules.multi_vector_mask.MultiVectorMask"),
        ("2_Normalize", "base.modules.normalize.Normalize"),
    )
    _write_modules(inside, [(path, f"sentence_transformers.{name}") for path, name in classes])
    write_json(
        inside / SETTINGS,
        {
            "__version__": {"sentence_transformers": "6.0.0"},  # the oldest that reads the folder
            "model_type": "MultiVectorEncoder",
            "prompts": {"query": "", "document": ""},
            "default_prompt_name": None,
            "similarity_fn_name": "meanmaxsim" if model.scorer.reduce == "mean" else "maxsim",
        },
    )
    write_json(inside / "1_MultiVectorMask" / CONFIG, {"skiplist_words": [], "skiplist_tasks": ["document"]})
    names = ("module_input_name", "module_output_name")
    write_json(inside / "2_Normalize" / CONFIG, dict.fromkeys(names, "token_embeddings"))


def write_pylate(model: LoadedModel, folder: Path) -> None:
    """Writes `pylate/`, a ColBERT of PyLate 1: it must have a projection, which is the identity here.

    Without prefixes, query expansion and skipped words, which PyLate has otherwise, its token embeddings are ours.
    """
    inside, width = folder / PYLATE, model.model.encoder.config.width
    _share_encoder(folder, inside)
    _write_modules(inside, [("", "sentence_transformers.models.Transformer"), (_DENSE, "pylate.models.Dense.Dense")])
    write_json(
        inside / SETTINGS,
        {
            "__version__": {"sentence_transformers": "2.0.0"},
            "model_type": "ColBERT",
            "prompts": {},
            "default_prompt_name": None,
            "similarity_fn_name": "MaxSim",
            **dict.fromkeys(("query_prefix", "document_prefix"), ""),
            **dict.fromkeys(("query_length", "document_length"), model.max_tokens),
            **dict.fromkeys(("do_query_expansion", "attend_to_expansion_tokens"), False),
            "skiplist_words": [],
        },
    )
    dense: dict[str, Any] = {"in_features": width, "out_features": width, "bias": False, "use_residual": False}
    write_json(inside / _DENSE / CONFIG, dense | {"activation_function": "torch.nn.modules.linear.Identity"})
    save_file({"linear.weight": np.eye(width, dtype=np.float32)}, inside / _DENSE / WEIGHTS)
    (inside / _DENSE / WEIGHTS).chmod((inside / CONFIG).stat().st_mode)


def _share_encoder(folder: Path, inside: Path) -> None:
    """Puts the encoder of a folder into one inside it: as hard links, which need no space, or else as copies."""
    inside.mkdir()
    for name in (CONFIG, WEIGHTS, LENGTHS, *TOKENISER_FILES):
        if (folder / name).is_file():
            try:
                os.link(folder / name, inside / name)
            except OSError:  # of file systems without hard links
                shutil.copyfile(folder / name, inside / name)


def _write_modules(folder: Path, modules: list[tuple[str, str]]) -> None:
    """Writes modules.json from the path and the class of each module."""
    write_json(
        folder / MODULES,
        [{"idx": i, "name": str(i), "path": path, "type": kind} for i, (path, kind) in enumerate(modules)],
    )
