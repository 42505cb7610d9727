"""Node texts tokenised once: a ragged table of token ids, cached on disk."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from uwe_jax.base.errors import UserError
from uwe_jax.base.files import write_atomically
from uwe_jax.base.progress import progress

_TEXTS_AT_ONCE = 2048


@dataclass(frozen=True)
class SpecialTokens:
    """What the encoder expects around a text, and what fills a row up."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    pad: int

    @property
    def count(self) -> int:
        """Special tokens of every text."""
        return len(self.before) + len(self.after)


@dataclass(frozen=True)
class TokenTable:
    """Token ids of n texts, without special tokens: text k is flat[offsets[k]:offsets[k + 1]]."""

    flat: np.ndarray
    offsets: np.ndarray
    special: SpecialTokens

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of every text with its special tokens, int64 [n]."""
        return np.diff(self.offsets) + self.special.count

    def text(self, index: int) -> np.ndarray:
        """Token ids of one text, without special tokens."""
        return self.flat[self.offsets[index] : self.offsets[index + 1]]

    def rows(self, indices: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Padded rows for texts: token ids int32 [b, length] and mask bool [b, length].

        Longer texts lose their end; an index of -1 gives a row of padding, all masked.
        """
        return fill_rows([self.text(i) if i >= 0 else None for i in indices.tolist()], length, self.special)


def fill_rows(texts: Sequence[np.ndarray | None], length: int, special: SpecialTokens) -> tuple[np.ndarray, np.ndarray]:
    """Puts special tokens around texts of token ids and pads them to `length`; None is a row of padding."""
    token_ids = np.full((len(texts), length), special.pad, np.int32)
    mask = np.zeros((len(texts), length), bool)
    before, after = len(special.before), len(special.after)
    for row, text in enumerate(texts):
        if text is None:
            continue
        end = before + min(len(text), length - special.count)
        token_ids[row, :before] = special.before
        token_ids[row, before:end] = text[: end - before]
        token_ids[row, end : end + after] = special.after
        mask[row, : end + after] = True
    return token_ids, mask


class Tokeniser:
    """An encoder's own tokeniser, with its results cached in a folder.

    Args:
      folder: holds the tokeniser files of the encoder, as Hugging Face saves them.
      cache_dir: where token tables are kept between runs.
    """

    def __init__(self, folder: Path, cache_dir: Path):
        # Imported here: it takes seconds, and the rest of the data room does without.
        from transformers import AutoTokenizer

        try:
            self._tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        except (OSError, ValueError) as error:
            raise UserError(f"No usable tokeniser in {folder}: {error}") from error
        self._tokenizer.model_max_length = int(1e12)  # texts are cut to fixed lengths later, and counted
        self._cache_dir = cache_dir
        self.special = self._find_special_tokens()
        vocabulary = sorted(self._tokenizer.get_vocab().items())
        self._digest = hashlib.sha256(repr((vocabulary, self.special, self._ids(["A a é\n- 1"]))).encode())

    def _ids(self, texts: list[str]) -> list[list[int]]:
        return self._tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"]

    def _find_special_tokens(self) -> SpecialTokens:
        bare = self._ids(["work"])[0]
        full = self._tokenizer(["work"])["input_ids"][0]
        start = next(k for k in range(len(full)) if full[k : k + len(bare)] == bare)
        return SpecialTokens(tuple(full[:start]), tuple(full[start + len(bare) :]), int(self._tokenizer.pad_token_id))

    def table(self, texts: Sequence[str], *, label: str) -> TokenTable:
        """Tokenises texts under a progress bar, or reads the same texts' table from the cache."""
        digest = self._digest.copy()
        for text in texts:
            digest.update(text.encode() + b"\0")
        cached = self._cache_dir / f"{digest.hexdigest()[:32]}.npz"
        if cached.exists():
            try:
                with cached.open("rb") as file, np.load(file) as arrays:
                    return TokenTable(arrays["flat"], arrays["offsets"], self.special)
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
                cached.unlink(missing_ok=True)  # a damaged cache file is made anew below
        lists: list[list[int]] = []
        waiting: list[str] = []
        for text in progress(texts, label=f"Tokenising {label}", unit=" texts", total=len(texts)):
            waiting.append(text)
            if len(waiting) == _TEXTS_AT_ONCE:
                lists.extend(self._ids(waiting))
                waiting = []
        if waiting:
            lists.extend(self._ids(waiting))
        offsets = np.zeros(len(lists) + 1, np.int64)
        np.cumsum([len(ids) for ids in lists], out=offsets[1:])
        flat = np.fromiter((token for ids in lists for token in ids), np.int32, int(offsets[-1]))
        buffer = io.BytesIO()
        np.savez(buffer, flat=flat, offsets=offsets)
        write_atomically(cached, buffer.getvalue())
        return TokenTable(flat, offsets, self.special)
