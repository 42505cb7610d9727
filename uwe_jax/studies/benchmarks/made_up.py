"""A model and a target space on disk as real ones are, with random numbers and made-up words: nothing is downloaded."""

from __future__ import annotations

import json
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
from uwe_jax.models.weights import params_to_hf
from uwe_jax.studies.benchmarks.encoders import random_params

# In the order of their ids: what pads has the id that the encoder's config says.
_START, _PAD, _END, _UNKNOWN = "[CLS]", "[PAD]", "[SEP]", "[UNK]"
SPECIAL_TOKENS = 2  # of a text


def text_of(tokens: int, rng: np.random.Generator, config: EncoderConfig) -> str:
    """A text of so many tokens, special ones included, of words that `write_model` knows."""
    words = rng.integers(config.vocab_size // 2, config.vocab_size, max(1, tokens - SPECIAL_TOKENS))
    return " ".join(f"w{word}" for word in words)


def write_model(config: EncoderConfig, folder: Path, seed: int) -> None:
    """Writes an encoder of random parameters, and a tokeniser with as many words as its vocabulary has pieces."""
    folder.mkdir(parents=True)
    (folder / CONFIG).write_text(json.dumps(config.to_hf()), encoding="utf-8")
    save_file(params_to_hf(random_params(config, seed), config), folder / WEIGHTS)
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
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
