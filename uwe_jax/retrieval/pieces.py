"""Readable subword tokens of a text, as an encoder sees it."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from tokenizers import Tokenizer

from uwe_jax.data.tokens import Tokeniser

# Names of special tokens, whatever the vocabulary calls them.
START, END = "[start]", "[end]"
# Prefix of a token that continues a word.
CONTINUED = "##"
# A space in the vocabularies of byte-level BPE and of SentencePiece.
_SPACES = "\u0120\u2581"


class Pieces(NamedTuple):
    """The tokens of a text as they are written in it, and the number of each one's word; special tokens are words."""

    texts: tuple[str, ...]
    words: tuple[int, ...]


class PieceReader:
    """Splits texts as the encoder in a folder does, into readable tokens; longer texts are truncated."""

    def __init__(self, folder: Path, tokeniser: Tokeniser, max_tokens: int):
        self._folder = folder
        self._tokeniser = tokeniser
        self._max_tokens = max_tokens

    def __call__(self, text: str) -> Pieces:
        """Returns the tokens of a text as it is encoded, special ones included."""
        ids = self._tokeniser.tokenise([text]).text(0).tolist()
        special = self._tokeniser.special
        found = (self._in_text(text, ids) or self._tokeniser.spelt(ids))[: self._max_tokens - special.count]
        words: list[int] = []
        for place, piece in enumerate(found):
            words.append(words[-1] if words and piece.startswith(CONTINUED) else place)
        before, after = len(special.before), len(special.after)
        return Pieces(
            (*(START,) * before, *found, *(END,) * after),
            (*range(-before, 0), *words, *range(len(words), len(words) + after)),
        )

    def _in_text(self, text: str, ids: list[int]) -> list[str] | None:
        """Returns the text's spelling of each token; None where tokenizer.json and the encoder's tokeniser differ."""
        if self._file is None or (encoding := self._file.encode(text, add_special_tokens=False)).ids != ids:
            return None
        words: list[int | None] = encoding.word_ids
        found, done = [], 0
        for k, (start, stop) in enumerate(encoding.offsets):
            # A character of several tokens, such as bytes or the mark of a word's start, is written at the first one.
            spelling = text[max(start, done) : stop].strip() if start < stop else encoding.tokens[k].strip(_SPACES)
            found.append((CONTINUED if k and words[k] is not None and words[k] == words[k - 1] else "") + spelling)
            done = max(done, stop)
        return found

    @cached_property
    def _file(self) -> Tokenizer | None:
        path = self._folder / "tokenizer.json"
        if not path.is_file():
            return None
        found = Tokenizer.from_file(str(path))
        found.no_truncation()
        found.no_padding()
        return found


def joined(found: Pieces) -> tuple[str, ...]:
    """Joins the subword tokens of each word.

    >>> joined(Pieces(("[start]", "micro", "##bio", "##logy", "[end]"), (-1, 0, 0, 0, 3)))
    ('[start]', 'microbiology', '[end]')
    """
    words: dict[int, str] = {}
    for word, text in zip(found.words, found.texts, strict=True):
        words[word] = words[word] + text.removeprefix(CONTINUED) if word in words else text
    return tuple(words.values())
