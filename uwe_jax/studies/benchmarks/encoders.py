"""Encoders of known sizes with random parameters: speed does not depend on the values, so nothing is downloaded."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

from uwe_jax.models.config import EncoderConfig
from uwe_jax.models.folder import CONFIG, WEIGHTS
from uwe_jax.models.weights import Params, name_table, params_from_hf, params_to_hf
from uwe_jax.runtime.files import write_json

ENCODERS = {
    # sentence-transformers/all-MiniLM-L6-v2
    "minilm": EncoderConfig(
        "bert", vocab_size=30522, width=384, layers=6, heads=12, intermediate=1536, max_positions=512, token_types=2
    ),
    # sentence-transformers/all-mpnet-base-v2
    "mpnet": dataclasses.replace(
        EncoderConfig("mpnet", vocab_size=30527, width=768, layers=12, heads=12, intermediate=3072, max_positions=514),
        layer_norm_eps=1e-5,
        relative_buckets=32,
        pad_token_id=1,
    ),
}

_START, _PAD, _END, _UNKNOWN = "[CLS]", "[PAD]", "[SEP]", "[UNK]"
_SPECIAL_TOKENS = 2  # of a text


def random_params(config: EncoderConfig, seed: int) -> Params:
    """Draws parameters as BERT was initialised: matrices N(0, 0.02), norms one, biases zero."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for name in name_table(config):
        if len(name.shape) == 2:
            tensors[name.hf] = 0.02 * rng.standard_normal(name.hf_shape, np.float32)
        else:
            tensors[name.hf] = np.full(name.hf_shape, 1.0 if name.path[-1] == "scale" else 0.0, np.float32)
    return params_from_hf(tensors, config)


def text_of(tokens: int, rng: np.random.Generator, config: EncoderConfig) -> str:
    """Draws a text of so many tokens, special ones included, from the words of `write_model`."""
    words = rng.integers(config.vocab_size // 2, config.vocab_size, max(1, tokens - _SPECIAL_TOKENS))
    return " ".join(f"w{word}" for word in words)


def write_model(config: EncoderConfig, folder: Path, seed: int) -> None:
    """Writes an encoder of random parameters, and a tokeniser with one word per entry of its vocabulary."""
    folder.mkdir(parents=True)
    write_json(folder / CONFIG, config.to_hf())
    save_file(params_to_hf(random_params(config, seed), config), folder / WEIGHTS)
    # In the order of their ids: the padding token has the id of the encoder's config.
    special = [_PAD, _START, _END, _UNKNOWN] if config.pad_token_id == 0 else [_START, _PAD, _END, _UNKNOWN]
    words = [*special, *(f"w{k}" for k in range(len(special), config.vocab_size))]
    ids = {word: k for k, word in enumerate(words)}
    tokenizer = Tokenizer(WordPiece(ids, unk_token=_UNKNOWN))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single=f"{_START} $A {_END}", special_tokens=[(word, ids[word]) for word in (_START, _END)]
    )
    tokenizer.add_special_tokens(special)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": _PAD, "unk_token": _UNKNOWN}
    write_json(folder / "tokenizer_config.json", settings)
