"""A tiny random encoder as a folder on disk: what the real ones are, small enough for every test."""

from __future__ import annotations

import json
import string
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

from uwe_jax.models.config import EncoderConfig
from uwe_jax.models.weights import Params, name_table, params_from_hf, params_to_hf
from uwe_jax.retrieval.ranker import Ranker

WORDS = ("nurse", "care", "for", "patients", "software", "engineer", "write", "code")

# In the order of their ids: MPNet's padding must be 1. Start, padding, end, unknown, mask.
SPECIAL = {
    "bert": {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"},
    "mpnet": {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"},
}


def tiny_config(architecture: str = "bert", *, vocab_size: int = 60, layers: int = 2, width: int = 16) -> EncoderConfig:
    """A config of 2 heads that takes 160 tokens; the dropout rates differ, so that a mix-up shows."""
    mpnet = architecture == "mpnet"
    return EncoderConfig(
        architecture,
        vocab_size=vocab_size,
        width=width,
        layers=layers,
        heads=2,
        intermediate=2 * width,
        max_positions=162 if mpnet else 160,
        token_types=0 if mpnet else 2,
        layer_norm_eps=1e-5 if mpnet else 1e-12,
        relative_buckets=32 if mpnet else 0,
        pad_token_id=1 if mpnet else 0,
        hidden_dropout=0.1,
        attention_dropout=0.2,
    )


def random_tensors(config: EncoderConfig, seed: int = 0, spread: float = 0.3) -> dict[str, np.ndarray]:
    """Weights under their Hugging Face names, large enough that every part of the encoder matters.

    With a small `spread` of all but the words an encoder mostly averages its words, which it can be trained from.
    """
    rng = np.random.default_rng(seed)

    def draw(hf: str, shape: tuple[int, ...]) -> np.ndarray:
        centre = 1.0 if hf.endswith("LayerNorm.weight") else 0.0
        return (centre + (0.3 if "word_emb" in hf else spread) * rng.standard_normal(shape)).astype(np.float32)

    return {name.hf: draw(name.hf, name.hf_shape) for name in name_table(config)}


def random_params(config: EncoderConfig, seed: int = 0, spread: float = 0.3) -> Params:
    """The same weights as a tree for `Encoder.apply`."""
    return params_from_hf(random_tensors(config, seed, spread), config)


def write_tiny_encoder(
    folder: Path,
    architecture: str = "bert",
    words: Sequence[str] = WORDS,
    seed: int = 0,
    layers: int = 2,
    width: int = 16,
    spread: float = 0.3,
) -> Path:
    """Writes config.json, model.safetensors and a tokeniser that knows `words` and spells all others."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    special = SPECIAL[architecture]
    letters = string.ascii_lowercase + string.digits + string.punctuation
    pieces = [*special.values(), *(w.lower() for w in words), *letters, *(f"##{c}" for c in letters)]
    vocabulary = {piece: token_id for token_id, piece in enumerate(dict.fromkeys(pieces))}

    config = tiny_config(architecture, vocab_size=len(vocabulary), layers=layers, width=width)
    (folder / "config.json").write_text(json.dumps(config.to_hf()))
    save_file(params_to_hf(random_params(config, seed, spread), config), folder / "model.safetensors")

    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token=special["unk"]))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    start, end = special["cls"], special["sep"]
    tokenizer.post_processor = TemplateProcessing(
        single=f"{start} $A {end}", special_tokens=[(start, vocabulary[start]), (end, vocabulary[end])]
    )
    tokenizer.add_special_tokens(list(special.values()))
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {f"{role}_token": token for role, token in special.items()}
    settings |= {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": config.max_tokens}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def with_nan(ranker: Ranker, letter: str) -> Ranker:
    """The same model, but that NaN is the embedding of words that begin with a letter and are not in the vocabulary."""
    loaded = ranker.loaded
    encoder = jax.tree.map(np.array, loaded.params["encoder"])
    (ids,), _ = loaded.tokeniser.tokenise([letter]).rows(np.array([0]), 3)
    encoder["embeddings"]["word"]["embedding"][ids[1]] = np.nan
    params = {**loaded.params, "encoder": encoder}
    return Ranker(replace(loaded, params=params, stored_fingerprint=loaded.fingerprint))
