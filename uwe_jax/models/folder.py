"""Files of an encoder's folder."""

from __future__ import annotations

from pathlib import Path

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
DIFFERENCE = "difference.safetensors"  # instead of weights and tokeniser, in an export in low rank

TOKENIZERS = ("tokenizer.json", "vocab.txt")  # transformers builds the tokeniser from either
TOKENISER_FILES = (*TOKENIZERS, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")

# All files that are downloaded: weights in other formats would cost gigabytes.
FILES = (
    CONFIG,
    WEIGHTS,
    DIFFERENCE,
    *TOKENISER_FILES,
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
    "uwe_jax.json",  # of an export: the scorer, without which mean pooling would be used
)

SHIPPED = Path(__file__).parent / "shipped"  # exports in low rank that come with the package, by the models' names


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
        return "" if (folder / "uwe_jax.json").is_file() else "uwe_jax.json"
    missing = [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]
    if WEIGHTS in missing and (folder / "pytorch_model.bin").is_file():
        missing[-1] += " (pytorch_model.bin is not read: load and save the model again with transformers)"
    elif WEIGHTS in missing and (folder / f"{WEIGHTS}.index.json").is_file():
        missing[-1] += (
            f" (shards named in {WEIGHTS}.index.json are not read: load the model with transformers and save it again "
            'with max_shard_size="1TB")'
        )
    if not any((folder / name).is_file() for name in TOKENIZERS):
        missing.append(" or ".join(TOKENIZERS))
    return ", ".join(missing)
