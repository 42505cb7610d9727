"""Node texts tokenised once: a ragged table of token ids, cached on disk."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from uwe_jax.data.ragged import run_entries, run_offsets
from uwe_jax.data.tokeniser_file import open_tokeniser
from uwe_jax.data.truncation import Truncation
from uwe_jax.runtime import remote_cache
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import write_atomically
from uwe_jax.runtime.progress import counted, progress
from uwe_jax.runtime.zips import ZIP_DAMAGE

_TEXTS_AT_ONCE = 2048


@dataclass(frozen=True)
class SpecialTokens:
    """Token ids that the encoder expects around a text, and the padding of a row."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    pad: int

    @property
    def count(self) -> int:
        """Special tokens per text."""
        return len(self.before) + len(self.after)


class Spans(NamedTuple):
    """Texts of a table, each of p runs of its tokens: flat[starts[k, i]:][:counts[k, i]] for i < p."""

    starts: np.ndarray  # int [b, p]
    counts: np.ndarray  # int [b, p]
    lengths: np.ndarray  # int [b], tokens with the special ones; 0 for a missing text


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

    def followed_by(self, other: TokenTable) -> TokenTable:
        """Returns the texts of this table, then those of another one of the same tokeniser."""
        offsets = np.concatenate([self.offsets, self.offsets[-1] + other.offsets[1:]])
        return TokenTable(np.concatenate([self.flat, other.flat]), offsets, self.special)

    def text(self, index: int) -> np.ndarray:
        """Token ids of one text, without special tokens."""
        return self.flat[self.offsets[index] : self.offsets[index + 1]]

    def rows(self, indices: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns padded rows for texts: token ids int32 [b, length] and mask bool [b, length].

        Longer texts are truncated; an index of -1 gives a row of padding, all masked.
        """
        spans = self.spans(indices, length)
        mask = np.arange(length) < spans.lengths[:, None]
        token_ids = np.full(mask.shape, self.special.pad, np.int32)
        token_ids[mask] = self.tokens(spans)  # row by row, the order of the tokens
        return token_ids, mask

    def spans(self, indices: np.ndarray, length: int) -> Spans:
        """Returns where texts are, truncated to `length` tokens; an index of -1 gives a text without tokens."""
        starts, counts = self._found(indices)
        counts = np.minimum(counts, length - self.special.count)
        return self._spans(starts[:, None], counts[:, None], indices >= 0)

    def joined_spans(self, indices: np.ndarray, others: np.ndarray, other_first: np.ndarray, length: int) -> Spans:
        """Returns spans as `spans` does, each of a text joined with another one, under one set of special tokens.

        The other text is truncated first; the text itself only if it is too long alone.

        Args:
          indices: int [b], the texts; -1 gives a text without tokens.
          others: int [b], the texts joined on; -1 for none.
          other_first: bool [b], whether the other text goes before the text.
          length: most tokens of both.
        """
        starts, counts = self._found(indices)
        counts = np.minimum(counts, length - self.special.count)
        other_starts, other_counts = self._found(np.where(indices < 0, -1, others))
        other_counts = np.minimum(other_counts, length - self.special.count - counts)
        own, other = np.stack([starts, counts]), np.stack([other_starts, other_counts])
        both = np.where(other_first, (other, own), (own, other))  # [2 texts, (start, count), b]
        return self._spans(both[:, 0].T, both[:, 1].T, indices >= 0)

    def tokens(self, spans: Spans) -> np.ndarray:
        """Returns the token ids of texts one after another, with special tokens, int32 [total]."""
        special, lengths = self.special, spans.lengths
        ends = np.cumsum(lengths)
        starts, present = ends - lengths, lengths > 0
        token_ids = np.empty(lengths.sum(), np.int32)
        token_ids[starts[present, None] + np.arange(len(special.before))] = special.before
        token_ids[ends[present, None] - np.arange(len(special.after), 0, -1)] = special.after
        own = run_entries(starts + len(special.before), spans.counts.sum(axis=1))
        token_ids[own] = self.flat[run_entries(spans.starts.ravel(), spans.counts.ravel())]
        return token_ids

    def _found(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the starts of texts in `flat` and their numbers of tokens, 0 for an index of -1."""
        starts = self.offsets[indices]
        return starts, np.where(indices < 0, 0, self.offsets[indices + 1] - starts)

    def _spans(self, starts: np.ndarray, counts: np.ndarray, present: np.ndarray) -> Spans:
        return Spans(starts, counts, np.where(present, counts.sum(axis=1) + self.special.count, 0))


class Tokeniser:
    """An encoder's own tokeniser, with its results cached in a folder.

    Args:
      folder: with the tokeniser files of the encoder, as Hugging Face saves them.
      cache_dir: for token tables and the tokeniser itself, kept between runs.
      vocab_size: rows of the encoder's word embedding; None if no encoder reads the ids.

    Raises:
      UserError: the folder has no usable tokeniser, or one with ids beyond the encoder's word embedding.
    """

    def __init__(self, folder: Path, cache_dir: Path, vocab_size: int | None = None):
        self._reader = open_tokeniser(folder, cache_dir)
        self._cache_dir = cache_dir
        self.special = self._find_special_tokens(folder)
        if vocab_size is not None:
            self._check_ids(folder, vocab_size)

    @cached_property
    def _digest(self) -> hashlib._Hash:
        vocabulary = sorted(self._reader.vocabulary().items())
        return hashlib.sha256(repr((vocabulary, self.special, self._reader.ids(["A a é\n- 1"], False))).encode())

    @property
    def digest(self) -> str:
        """Changes with the vocabulary, the special tokens and how texts are normalised."""
        return self._digest.hexdigest()

    def spelt(self, ids: Iterable[int]) -> list[str]:
        """Returns the tokens of ids as the vocabulary spells them."""
        spellings = {number: token for token, number in self._reader.vocabulary().items()}
        return [spellings[number] for number in ids]

    def _ids(self, texts: list[str]) -> list[list[int]]:
        return self._reader.ids(texts, False)

    def _find_special_tokens(self, folder: Path) -> SpecialTokens:
        bare = self._ids(["work"])[0]
        full = self._reader.ids(["work"], True)[0]
        start = next((k for k in range(len(full)) if full[k : k + len(bare)] == bare), None)
        if start is None or not bare:
            raise UserError(
                f"No usable tokeniser in {folder}: the word 'work' has the tokens {bare}, and {full} with the special "
                "tokens around it. Fetch its files again, or save the tokeniser again with transformers."
            )
        return SpecialTokens(tuple(full[:start]), tuple(full[start + len(bare) :]), self._reader.pad)

    def _check_ids(self, folder: Path, vocab_size: int) -> None:
        """Raises UserError for ids without an embedding, for which an encoder computes NaN."""
        vocabulary, special = self._reader.vocabulary(), self.special
        named = {**vocabulary, **{f"special token {k}": k for k in (*special.before, *special.after, special.pad)}}
        beyond = sorted((k, token) for token, k in named.items() if not 0 <= k < vocab_size)
        if beyond:
            raise UserError(
                f"The tokeniser in {folder} has {len(vocabulary):,} entries, and the encoder embeddings for "
                f"{vocab_size:,} (vocab_size); without one: {counted(len(beyond), 'id')}, such as {beyond[0][0]:,} of "
                f"{beyond[0][1]!r}. Take the tokeniser that the encoder was saved with, or resize the encoder's "
                "embeddings in transformers (resize_token_embeddings) and save both."
            )

    def table(self, texts: Sequence[str], *, label: str) -> TokenTable:
        """Tokenises texts with a progress bar, or reads the table of the same texts from the cache."""
        digest = self._digest.copy()
        for text in texts:
            digest.update(text.encode() + b"\0")
        cached = self._cache_dir / f"{digest.hexdigest()[:32]}.npz"
        if remote_cache.find(cached):
            try:
                with cached.open("rb") as file, np.load(file) as arrays:
                    return TokenTable(arrays["flat"], arrays["offsets"], self.special)
            except (KeyError, *ZIP_DAMAGE):
                cached.unlink(missing_ok=True)  # a damaged cache file is re-created below
        table = self.tokenise(progress(texts, label=f"Tokenising {label}", unit=" texts", total=len(texts)))
        buffer = io.BytesIO()
        np.savez(buffer, flat=table.flat, offsets=table.offsets)
        write_atomically(cached, buffer.getvalue())
        remote_cache.keep(cached)
        return table

    def tokenise(self, texts: Iterable[str]) -> TokenTable:
        """Tokenises texts without progress bar and cache: for few texts, or those that are read once."""
        lists = [ids for batch in self._id_lists(texts) for ids in batch]
        offsets = run_offsets(np.array([len(ids) for ids in lists], np.int64))
        flat = np.fromiter((token for ids in lists for token in ids), np.int32, int(offsets[-1]))
        return TokenTable(flat, offsets, self.special)

    def truncation(self, texts: Iterable[str], limit: int) -> Truncation:
        """Counts the texts that have more tokens than a limit, special tokens included, or unknown tokens."""
        remaining, found = iter(texts), Truncation(limit)
        while batch := list(islice(remaining, _TEXTS_AT_ONCE)):
            found += self.truncation_of(self.tokenise(batch), batch, limit)
        return found

    def truncation_of(self, table: TokenTable, texts: Sequence[str], limit: int) -> Truncation:
        """Counts the same from the token table of the texts."""
        unknown = -1 if self._reader.unknown is None else self._reader.unknown
        before = run_offsets((table.flat == unknown).astype(np.int8))
        return Truncation.of(table.lengths, limit, self.special.count, np.diff(before[table.offsets]), texts)

    def _id_lists(self, texts: Iterable[str]) -> Iterator[list[list[int]]]:
        """Yields token ids without special tokens, in batches that are tokenised in parallel."""
        remaining = iter(texts)
        while batch := list(islice(remaining, _TEXTS_AT_ONCE)):
            yield self._ids(batch)
