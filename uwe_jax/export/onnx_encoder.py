"""Writes the encoder as ONNX with PyTorch's exporter: the one part of an export that needs PyTorch."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from uwe_jax.models.loaded import LoadedModel
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.optional_imports import install_command

LOG = logging.getLogger(__name__)
NAME = "onnx/model.onnx"
_NEEDS = ("torch", "onnxscript", "onnxruntime")
# Token embeddings are of the order of one; the exporter fuses operations, which rounds differently.
_TOLERANCE = 1e-4


def check_libraries() -> None:
    """Raises UserError unless the libraries that write and check ONNX are installed."""
    missing = [name for name in _NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"--onnx needs {', '.join(missing)}, which is not installed. Install it with: {install_command('onnx')}"
        )


def write_onnx(model: LoadedModel, folder: Path) -> None:
    """Writes `onnx/model.onnx` beside the encoder that transformers reads, and compares its output with ours.

    Inputs are input_ids and attention_mask, int64 [b, t] for any b and t; the output is last_hidden_state [b, t, d].

    Raises:
      UserError: token embeddings of ONNX Runtime differ by more than 1e-4.
    """
    import torch
    from transformers import AutoModel

    class TokenEmbeddings(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = AutoModel.from_pretrained(folder, attn_implementation="eager")

        def forward(self, input_ids, attention_mask):
            return self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    LOG.debug("Exporting the encoder to ONNX")
    token_ids, mask = (torch.from_numpy(part) for part in _block(model, 3, 7))
    dynamic = {0: "batch", 1: "tokens"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about its own internals
        program: Any = torch.onnx.export(
            TokenEmbeddings().eval(),
            (token_ids, mask),
            input_names=["input_ids", "attention_mask"],
            output_names=["last_hidden_state"],
            dynamic_shapes={"input_ids": dynamic, "attention_mask": dynamic},
            dynamo=True,
            verbose=False,
        )
    path = folder / NAME
    path.parent.mkdir()
    program.save(str(path), external_data=False)
    off = max(_deviation(model, path, texts, tokens) for texts, tokens in ((1, 4), (5, min(40, model.max_tokens))))
    if off > _TOLERANCE:
        raise UserError(
            f"Token embeddings of ONNX Runtime differ by up to {off:.1e} from ours; at most {_TOLERANCE:.0e} is "
            "allowed. Export without --onnx, and report the versions of torch and onnxscript."
        )
    LOG.debug(f"ONNX Runtime computes the same token embeddings within {off:.1e}")


def _block(model: LoadedModel, texts: int, tokens: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws token ids and a mask, int64 [texts, tokens]; every second text is half as long."""
    rng = np.random.default_rng(0)
    mask = np.ones((texts, tokens), np.int64)
    mask[1::2, tokens // 2 :] = 0
    token_ids = rng.integers(2, model.model.encoder.config.vocab_size, (texts, tokens))
    return np.where(mask, token_ids, model.tokeniser.special.pad), mask


def _deviation(model: LoadedModel, path: Path, texts: int, tokens: int) -> float:
    """Returns the largest difference between ONNX Runtime and our encoder in float32, over real tokens."""
    import jax
    import jax.numpy as jnp
    import onnxruntime

    token_ids, mask = _block(model, texts, tokens)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (theirs,) = session.run(None, {"input_ids": token_ids, "attention_mask": mask})
    encoder = model.model.encoder.clone(dtype=jnp.float32)
    with jax.default_matmul_precision("float32"):
        ours = encoder.apply(
            {"params": model.params["encoder"]}, jnp.asarray(token_ids, jnp.int32), jnp.asarray(mask, bool)
        )
    return float(np.abs(np.asarray(ours) - theirs)[mask.astype(bool)].max())
