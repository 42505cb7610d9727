"""A tiny random encoder as a folder on disk: what the real ones are, small enough for every test."""

from __future__ import annotations

import json
import string
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import BPE, Unigram, WordPiece
from tokenizers.normalizers import NFKC, BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer, ByteLevel, Metaspace, WhitespaceSplit
from tokenizers.pre_tokenizers import Sequence as Split
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer

from uwe_jax.models.config import EncoderConfig
from uwe_jax.models.families.registry import FAMILIES
from uwe_jax.models.weights import Params, name_table, params_from_hf, params_to_hf
from uwe_jax.retrieval.ranker import Ranker

WORDS = ("nurse", "care", "for", "patients", "software", "engineer", "write", "code")

# In the order of their ids, for padding with id 0 and with id 1.
SPECIAL = (
    {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"},
    {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"},
)


def tiny_config(architecture: str = "bert", *, vocab_size: int = 60, layers: int = 2, width: int = 16) -> EncoderConfig:
    """A config of 2 heads that takes 160 tokens; the dropout rates differ, so that a mix-up shows.

    A family's own sizes are the published ones, but for windows of local attention, which are shorter than texts, and
    layers of global attention, which are all others.
    """
    family = FAMILIES[architecture]
    counted = family.positions == "counted"
    sizes = {
        "vocab_size": vocab_size,
        "width": width,
        "layers": layers,
        "heads": 2,
        "intermediate": 2 * width,
        "max_positions": 162 if counted else 160,
        "layer_norm_eps": 1e-5 if counted else 1e-12,
        "pad_token_id": 1 if counted else 0,
        "hidden_dropout": 0.1,
        "attention_dropout": 0.2,
        "local_window": 8,
        "global_every": 2,
    }
    values = {theirs: sizes[ours] for ours, (theirs, _) in family.keys.items() if ours in sizes}
    return EncoderConfig.from_hf({"model_type": architecture, **values})


def random_tensors(config: EncoderConfig, seed: int = 0, spread: float = 0.3) -> dict[str, np.ndarray]:
    """Weights under their Hugging Face names, large enough that every part of the encoder matters.

    With a small `spread` of all but the words an encoder mostly averages its words, which it can be trained from.
    """
    rng = np.random.default_rng(seed)

    def draw(hf: str, shape: tuple[int, ...]) -> np.ndarray:
        centre = 1.0 if hf.endswith("orm.weight") else 0.0
        words = "word_emb" in hf or "tok_emb" in hf
        return (centre + (0.3 if words else spread) * rng.standard_normal(shape)).astype(np.float32)

    return {name.hf: draw(name.hf, name.hf_shape) for name in name_table(config)}


def random_params(config: EncoderConfig, seed: int = 0, spread: float = 0.3) -> Params:
    """The same weights as a tree for `Encoder.apply`."""
    return params_from_hf(random_tensors(config, seed, spread), config)


def word_pieces(words: Sequence[str], special: Mapping[str, str]) -> Tokenizer:
    letters = string.ascii_lowercase + string.digits + string.punctuation
    pieces = [*special.values(), *(w.lower() for w in words), *letters, *(f"##{c}" for c in letters)]
    vocabulary = {piece: token_id for token_id, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token=special["unk"]))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    return tokenizer


def byte_pairs(words: Sequence[str], special: Mapping[str, str]) -> Tokenizer:
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    settings = {"initial_alphabet": ByteLevel.alphabet(), "special_tokens": [*special.values()]}
    tokenizer.train_from_iterator([" ".join(words)] * 2, BpeTrainer(vocab_size=300, show_progress=False, **settings))
    return tokenizer


def unigrams(words: Sequence[str], special: Mapping[str, str]) -> Tokenizer:
    pieces = [f"\u2581{word.lower()}" for word in words]
    letters = dict.fromkeys(["\u2581", *string.ascii_letters, *string.digits, *string.punctuation])
    scored = [*((each, 0.0) for each in special.values()), *((each, -2.0) for each in pieces)]
    scored += [(each, -9.0) for each in letters]
    tokenizer = Tokenizer(Unigram(scored, [*special].index("unk"), byte_fallback=False))
    tokenizer.normalizer = NFKC()
    tokenizer.pre_tokenizer = Split([WhitespaceSplit(), Metaspace()])
    return tokenizer


# The other families have BERT's layers and differ in their embeddings and in the names of their weights, which tests of
# all families cover; what the layers alone decide is tested of one family of each kind.
KINDS_OF_LAYERS = ("bert", "mpnet", "modernbert")
each_kind_of_layers = pytest.mark.parametrize(
    "architecture",
    [each if each in KINDS_OF_LAYERS else pytest.param(each, marks=pytest.mark.slow) for each in FAMILIES],
)

TOKENISERS = {"roberta": byte_pairs, "modernbert": byte_pairs, "xlm-roberta": unigrams}


def write_tiny_encoder(
    folder: Path,
    architecture: str = "bert",
    words: Sequence[str] = WORDS,
    seed: int = 0,
    layers: int = 2,
    width: int = 16,
    spread: float = 0.3,
) -> Path:
    """Writes config.json, model.safetensors and a tokeniser that knows `words` and spells all others.

    It is of the family's kind: WordPiece, byte-level BPE or SentencePiece's unigrams.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    special = SPECIAL[tiny_config(architecture).pad_token_id]
    tokenizer = TOKENISERS.get(architecture, word_pieces)(words, special)
    start, end = special["cls"], special["sep"]
    tokenizer.post_processor = TemplateProcessing(
        single=f"{start} $A {end}", special_tokens=[(each, tokenizer.token_to_id(each)) for each in (start, end)]
    )
    tokenizer.add_special_tokens(list(special.values()))
    tokenizer.save(str(folder / "tokenizer.json"))

    config = tiny_config(architecture, vocab_size=tokenizer.get_vocab_size(), layers=layers, width=width)
    (folder / "config.json").write_text(json.dumps(config.to_hf()))
    save_file(params_to_hf(random_params(config, seed, spread), config), folder / "model.safetensors")
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
