"""Encoders of known sizes with random parameters: speed does not depend on the values, so nothing is downloaded."""

from __future__ import annotations

import numpy as np

from uwe_jax.models.config import EncoderConfig
from uwe_jax.models.weights import Params, name_table, params_from_hf

ENCODERS = {
    # sentence-transformers/all-MiniLM-L6-v2
    "minilm": EncoderConfig(
        "bert",
        vocab_size=30522,
        width=384,
        layers=6,
        heads=12,
        intermediate=1536,
        max_positions=512,
        token_types=2,
    ),
    # sentence-transformers/all-mpnet-base-v2
    "mpnet": EncoderConfig(
        "mpnet",
        vocab_size=30527,
        width=768,
        layers=12,
        heads=12,
        intermediate=3072,
        max_positions=514,
        layer_norm_eps=1e-5,
        relative_buckets=32,
        pad_token_id=1,
    ),
}


def random_params(config: EncoderConfig, seed: int) -> Params:
    """Fresh parameters as both architectures were first trained with: matrices N(0, 0.02), norms one, biases zero."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for name in name_table(config):
        if len(name.shape) == 2:
            tensors[name.hf] = 0.02 * rng.standard_normal(name.hf_shape, np.float32)
        else:
            tensors[name.hf] = np.full(name.hf_shape, 1.0 if name.path[-1] == "scale" else 0.0, np.float32)
    return params_from_hf(tensors, config)
