"""Caches an encoder's tokeniser as transformers sets it up, so that the next process does not import transformers.

Importing transformers and setting up a tokeniser takes seconds, reading the cached one a tenth of a second. It is
transformers' own tokeniser, not the file it was read from: by class and settings the two may differ.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import Tokenizer

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import write_atomically
from uwe_jax.runtime.network import in_one_line
from uwe_jax.runtime.process_state import variable

# All that transformers reads of a folder; the encoder's config may decide on the tokeniser's class.
_FILES = (
    *("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
    *("added_tokens.json", "vocab.txt", "vocab.json", "merges.txt"),
)
# Of one file; those of half a million entries in a hundred languages take a tenth of it.
_MOST_BYTES = 256 << 20
# Of a token: tokenizers writes a vocabulary id by id, whether there is a token for it or not.
_MOST_IDS = 4_000_000
# Must give the same ids before and after caching: accents, other scripts, control characters, special tokens as text.
_PROBES = [
    "work",
    "A a é\n- 1",
    "Ünïcode  naïve\tcafé \u2013 50% £3,000/yr; C++/C# (.NET)",
    "護理師 Krankenschwester медсестра \u200b\x07 ﬁ ½",
    "[CLS] <s> a</s> [UNK]<unk> <mask>b [MASK] [PAD] <pad>",
    "",
    "x" * 300,
]


class TextReader(NamedTuple):
    """Converts texts to token ids."""

    ids: Callable[[list[str], bool], list[list[int]]]  # of texts, not truncated; the flag adds special tokens
    vocabulary: Callable[[], dict[str, int]]  # all tokens with their ids
    pad: int
    unknown: int | None  # None if every text has known tokens alone, as of a byte-level vocabulary


def open_tokeniser(folder: Path, cache_dir: Path) -> TextReader:
    """Opens the tokeniser of an encoder from the cache, else by transformers, and then caches it.

    Args:
      folder: with the tokeniser's files, as Hugging Face saves them.
      cache_dir: its key is the content of these files and the versions of both libraries. Need not be writable.

    Raises:
      UserError: the folder has no usable tokeniser.
    """
    try:
        kept = cache_dir / f"tokeniser-{_key(folder)}.json"
        if kept.exists():
            with contextlib.suppress(Exception):  # raised by tokenizers for a damaged file, which is re-created below
                return _read(kept.read_text(encoding="utf-8"))
        made = _by_transformers(folder)
        if (highest := max(made.get_vocab().values(), default=-1)) > _MOST_IDS:
            raise UserError(f"its highest id is {highest:,}; at most {_MOST_IDS:,} is read. Fetch its files again.")

        def ids(texts: list[str], special: bool) -> list[list[int]]:
            return made(texts, add_special_tokens=special, return_attention_mask=False)["input_ids"]

        reader = TextReader(ids, made.get_vocab, _pad(made), made.unk_token_id)
        content = _content(made)
        if not _same(reader if content is None else _read(content), reader):
            content = None
    except UserError as error:
        raise UserError(f"No usable tokeniser in {folder}: {error}") from error
    # Both libraries raise all kinds of exceptions in parsing: KeyError, TypeError, bare exceptions of Rust.
    except Exception as error:
        raise UserError(
            f"No usable tokeniser in {folder}: {type(error).__name__}: {in_one_line(error)}. Fetch its files again, or "
            "save the tokeniser again with transformers."
        ) from error
    if content is not None:
        with contextlib.suppress(OSError):
            write_atomically(kept, content.encode())
    return reader


def _by_transformers(folder: Path) -> Any:
    # Imported here: it takes seconds. It would advise to install PyTorch, which tokenisers do without.
    with variable("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1"):
        from transformers import AutoTokenizer

    made = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    made.model_max_length = int(1e12)  # texts are truncated later, and counted
    return made


def _pad(made: Any) -> int:
    if made.pad_token_id is None:
        raise UserError("it has no padding token. Set pad_token in tokenizer_config.json.")
    return int(made.pad_token_id)


def _content(made: Any) -> str | None:
    """Serialises a tokeniser; None for one that is written in Python."""
    native = getattr(made, "backend_tokenizer", None)
    if not isinstance(native, Tokenizer):
        return None
    spelt = bool(native.encode_special_tokens)
    return json.dumps(
        {
            "pad": _pad(made),
            "unknown": made.unk_token_id,
            "encode_special_tokens": spelt,
            "tokenizer": native.to_str(),
        }
    )


def _read(content: str) -> TextReader:
    kept = json.loads(content)
    tokenizer = Tokenizer.from_str(kept["tokenizer"])
    tokenizer.encode_special_tokens = kept["encode_special_tokens"]
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def ids(texts: list[str], special: bool) -> list[list[int]]:
        return [each.ids for each in tokenizer.encode_batch_fast(texts, add_special_tokens=special)]

    return TextReader(ids, lambda: tokenizer.get_vocab(with_added_tokens=True), kept["pad"], kept["unknown"])


def _same(one: TextReader, other: TextReader) -> bool:
    return one.vocabulary() == other.vocabulary() and all(
        one.ids(_PROBES, special) == other.ids(_PROBES, special) for special in (False, True)
    )


def _key(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in _FILES:
        content = b""
        if (path := folder / name).is_file():
            if (size := path.stat().st_size) > _MOST_BYTES:
                raise UserError(f"{name} has {size:,} bytes; at most {_MOST_BYTES:,} are read. Fetch its files again.")
            content = path.read_bytes()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    for package in ("transformers", "tokenizers"):
        digest.update(f"{package} {importlib.metadata.version(package)}\n".encode())
    return digest.hexdigest()[:32]
