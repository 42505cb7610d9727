"""Writes encoder and scorer as ONNX with PyTorch's exporter: the one part of an export that needs PyTorch.

The encoder is one graph and the scorer another, since token embeddings of targets are computed once and scored with
many queries. The scorer has no weights, so int8 concerns the encoder alone.
"""

from __future__ import annotations

import importlib.resources
import importlib.util
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from uwe_jax.models.folder import WEIGHTS
from uwe_jax.models.loaded import LoadedModel
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.optional_imports import install_command
from uwe_jax.runtime.process_state import quiet
from uwe_jax.scoring.scorers import block_scores
from uwe_jax.scoring.tokens import Tokens

LOG = logging.getLogger(__name__)
# The first two by the names under which transformers.js looks for float32 and for int8.
ENCODER, INT8, SCORER = "onnx/model.onnx", "onnx/model_quantized.onnx", "onnx/scorer.onnx"
_NEEDS = ("torch", "onnxscript", "onnxruntime")
_MOST_BYTES = 2**31  # of a file of protocol buffers
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
    """Writes the three files of `onnx/` into an export, and compares what ONNX Runtime computes with ours.

    - `model.onnx`, the encoder in float32: input_ids and attention_mask, int64 [b, t] for any b and t, to
      last_hidden_state [b, t, d].
    - `model_quantized.onnx`, the same with weights in int8 and activations quantised as they are computed.
    - `scorer.onnx`: queries [q, i, d] and targets [y, j, d], float32, and their masks queries_mask and targets_mask,
      int64, to scores [q, y]; with the temperatures of the model.

    Args:
      folder: with the encoder that transformers reads and the scorer in PyTorch.

    Raises:
      UserError: the encoder is too large for one file, token embeddings or scores of ONNX Runtime in float32 differ by
        more than 1e-4, or those in int8 are not finite.
    """
    if (size := (folder / WEIGHTS).stat().st_size) >= _MOST_BYTES:
        raise UserError(
            f"--onnx: the encoder has {size:,} bytes of weights; an ONNX file holds less than {_MOST_BYTES:,}. Export "
            "without --onnx, or a smaller encoder."
        )
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from transformers import AutoModel

    class TokenEmbeddings(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = AutoModel.from_pretrained(folder, attn_implementation="eager")

        def forward(self, input_ids, attention_mask):
            return self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    LOG.debug("Exporting encoder and scorer to ONNX")
    (folder / ENCODER).parent.mkdir()
    token_ids, mask = map(torch.from_numpy, _block(model, 3, 7))
    pair: dict[str, Any] = {}
    for side, tokens in (("queries", mask), ("targets", torch.ones(4, 5, dtype=torch.int64))):
        pair |= {side: torch.ones(*tokens.shape, model.model.encoder.config.width), f"{side}_mask": tokens}
    # Warnings of the exporter are about its own internals; the quantiser advises to infer shapes, which are known.
    with warnings.catch_warnings(), quiet(**{"torch.onnx": logging.ERROR, "root": logging.ERROR}):
        warnings.simplefilter("ignore")
        encoded = {"input_ids": token_ids, "attention_mask": mask}
        _save(TokenEmbeddings(), encoded, "last_hidden_state", folder / ENCODER)
        _save(_scorer(model), pair, "scores", folder / SCORER)
        quantize_dynamic(folder / ENCODER, folder / INT8, per_channel=True, weight_type=QuantType.QInt8)
    off = max(_deviation(model, folder, texts, tokens) for texts, tokens in ((1, 4), (5, min(40, model.max_tokens))))
    if off > _TOLERANCE:
        raise UserError(
            f"Token embeddings or scores of ONNX Runtime differ by up to {off:.1e} from ours; at most "
            f"{_TOLERANCE:.0e} is allowed. Export without --onnx, and report the versions of torch and onnxscript."
        )
    LOG.debug(f"ONNX Runtime computes the same token embeddings and scores within {off:.1e}")


def _save(module: Any, inputs: dict[str, Any], output: str, path: Path) -> None:
    """Writes a module as ONNX; the first two dimensions of every input, texts and tokens, are dynamic."""
    import torch

    axes = tuple({0: name.removesuffix("_mask"), 1: f"tokens of {name}"} for name in inputs)
    program: Any = torch.onnx.export(
        module.eval(),
        tuple(inputs.values()),
        input_names=[*inputs],
        output_names=[output],
        dynamic_shapes=axes,
        dynamo=True,
        verbose=False,
    )
    program.save(str(path), external_data=False)


def _scorer(model: LoadedModel) -> Any:
    """Returns the scorer in PyTorch that exports hold, with the model's settings and temperatures."""
    found: dict[str, Any] = {"__name__": "uwe_scorer"}
    text = importlib.resources.files("uwe_jax.export").joinpath("shipped", "uwe_scorer.py.txt").read_text("utf-8")
    exec(text, found)
    names = ("kind", "logits", "tau_a", "reduce", "side", "target_tau_a", "target_weight")
    return found["UweScorer"](**{name: getattr(model.scorer, name) for name in names})


def _block(model: LoadedModel, texts: int, tokens: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws token ids and a mask, int64 [texts, tokens]; every second text is half as long."""
    rng = np.random.default_rng(0)
    mask = np.ones((texts, tokens), np.int64)
    mask[1::2, tokens // 2 :] = 0
    token_ids = rng.integers(2, model.model.encoder.config.vocab_size, (texts, tokens))
    return np.where(mask, token_ids, model.tokeniser.special.pad), mask


def _deviation(model: LoadedModel, folder: Path, texts: int, tokens: int) -> float:
    """Returns the largest difference between ONNX Runtime and ours in float32, over real tokens and over scores.

    Infinite where the encoder in int8 gives embeddings that are not finite.
    """
    import jax
    import jax.numpy as jnp
    from onnxruntime import InferenceSession

    def run(name: str, **inputs: np.ndarray) -> np.ndarray:
        return InferenceSession(str(folder / name), providers=["CPUExecutionProvider"]).run(None, inputs)[0]

    token_ids, mask = _block(model, texts, tokens)
    real, encoded = mask.astype(bool), {"input_ids": token_ids, "attention_mask": mask}
    theirs = run(ENCODER, **encoded)
    if not np.isfinite(run(INT8, **encoded)[real]).all():
        return np.inf
    encoder = model.model.encoder.clone(dtype=jnp.float32)
    with jax.default_matmul_precision("float32"):
        ids, segments = jnp.asarray(token_ids, jnp.int32), jnp.asarray(real)
        ours: Any = encoder.apply({"params": model.params["encoder"]}, ids, segments)
        queries, targets = Tokens(ours[:2], segments[:2]), Tokens(ours, segments)
        expected = block_scores(queries, targets, model.scorer.temperatures, model.scorer).forward
    scores = run(SCORER, queries=theirs[:2], queries_mask=mask[:2], targets=theirs, targets_mask=mask)
    return float(max(np.abs(np.asarray(ours) - theirs)[real].max(), np.abs(np.asarray(expected) - scores).max()))
