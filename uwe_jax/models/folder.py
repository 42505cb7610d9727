"""Files of an encoder's folder, and names of published ones."""

from __future__ import annotations

import shlex
from pathlib import Path

# Hub ids of published models of the work domain, by their names.
BASELINES = {
    "JobBERT-v2": "TechWolf/JobBERT-v2",
    "JobBERT-v3": "TechWolf/JobBERT-v3",
    "ConTeXT-match": "TechWolf/ConTeXT-Skill-Extraction-base",
}

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
MANIFEST = "uwe_jax.json"  # of an export: the scorer, without which mean pooling would be used
INDEX = f"{WEIGHTS}.index.json"  # of weights in several files
PICKLE = "pytorch_model.bin"
TRAINED_ON = "trained_on.npz"  # of a run or an export, see `uwe_jax.data.training_hashes`
DIFFERENCE = "difference.safetensors"  # instead of weights and tokeniser, in an export of a difference

# transformers builds the tokeniser from any of these sets of files.
TOKENIZERS = (("tokenizer.json",), ("vocab.txt",), ("vocab.json", "merges.txt"))
TOKENISER_FILES = (
    *(name for names in TOKENIZERS for name in names),
    *("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
)
# transformers reads these with further libraries alone.
_SENTENCEPIECE = ("sentencepiece.bpe.model", "spiece.model", "tokenizer.model")

ENCODER_FILES = (CONFIG, WEIGHTS, INDEX, *TOKENISER_FILES, "sentence_bert_config.json")
# All files that are downloaded, but for shards and those that modules.json names elsewhere: weights in other formats
# would cost gigabytes.
FILES = (
    *ENCODER_FILES,
    DIFFERENCE,
    "modules.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
    MANIFEST,
    TRAINED_ON,
)

SHIPPED = Path(__file__).parent / "shipped"  # exports of differences that come with the package, by the models' names


class Unavailable(Exception):
    """An encoder cannot be taken from one of its possible sources; the message is the reason."""


def shipped_models() -> list[str]:
    """Returns the names of the models that come with the package."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{DIFFERENCE}"))


def lacking(folder: Path) -> str:
    """Lists the files that a folder lacks to be an encoder; empty for a complete one.

    >>> lacking(Path("/nonexistent"))
    'config.json, model.safetensors, tokenizer.json or vocab.txt'
    """
    if (folder / DIFFERENCE).is_file():
        return "" if (folder / MANIFEST).is_file() else MANIFEST

    def has(name: str) -> bool:
        return (folder / name).is_file()

    missing = [] if has(CONFIG) else [CONFIG]
    if not has(WEIGHTS) and not has(INDEX):
        missing.append(WEIGHTS + (f" ({PICKLE} is not read: {converts(folder)})" if has(PICKLE) else ""))
    if not any(all(map(has, names)) for names in TOKENIZERS):
        hint = next((f" ({name} is not read: {_saves(folder)})" for name in _SENTENCEPIECE if has(name)), "")
        missing.append(f"tokenizer.json or vocab.txt{hint}")
    return ", ".join(missing)


def converts(folder: Path) -> str:
    """Command that writes the safetensors file of a folder with PyTorch's pickle, and runs no code of the pickle."""
    read = f"torch.load({str(folder / PICKLE)!r}, weights_only=True)"
    tensors = f"{{name: tensor.clone().contiguous() for name, tensor in {read}.items()}}"
    code = f"import torch; from safetensors.torch import save_file; save_file({tensors}, {str(folder / WEIGHTS)!r})"
    return f"convert it with python -c {shlex.quote(code)}"


def _saves(folder: Path) -> str:
    """Command that writes the tokenizer.json of a folder."""
    read = f"AutoTokenizer.from_pretrained({str(folder)!r})"
    code = f"from transformers import AutoTokenizer; {read}.save_pretrained({str(folder)!r})"
    return f"convert it with pip install sentencepiece protobuf && python -c {shlex.quote(code)}"
