"""The tokens that an encoder sees of a text, as a person can read them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import Tokenizer

from uwe_jax.data.tokens import Tokeniser

# What special tokens are called, whatever the vocabulary does.
START, END = "[start]", "[end]"
# Stands before a piece that continues a word.
CONTINUED = "##"


class Pieces(NamedTuple):
    """The tokens of a text, special ones included.

    `texts` are as they stand in the text, `words` numbers the word that each belongs to, special tokens one each.
    """

    texts: tuple[str, ...]
    words: tuple[int, ...]


class PieceReader:
    """Cuts texts as an encoder's tokeniser does, and says what each token stands for.

    Args:
      folder: holds the tokeniser's files.
      tokeniser: whose tokens they are.
      max_tokens: longer texts lose their end; special tokens included.
    """

    def __init__(self, folder: Path, tokeniser: Tokeniser, max_tokens: int):
        self._folder = folder
        self._tokeniser = tokeniser
        self._max_tokens = max_tokens

    def __call__(self, text: str) -> Pieces:
        """The tokens of a text as it is encoded."""
        ids = self._tokeniser.tokenise([text]).text(0).tolist()
        special = self._tokeniser.special
        found = (self._in_text(text, ids) or self._by_vocabulary(ids))[: self._max_tokens - special.count]
        words: list[int] = []
        for place, piece in enumerate(found):
            words.append(words[-1] if words and piece.startswith(CONTINUED) else place)
        before, after = len(special.before), len(special.after)
        return Pieces(
            (*(START,) * before, *found, *(END,) * after),
            (*range(-before, 0), *words, *range(len(words), len(words) + after)),
        )

    def _in_text(self, text: str, ids: list[int]) -> list[str] | None:
        """Each token as the text spells it; None where the file cuts it otherwise than the tokeniser set up from it."""
        if self._file is None or (encoding := self._file.encode(text, add_special_tokens=False)).ids != ids:
            return None
        words: list[int | None] = encoding.word_ids
        return [
            (CONTINUED if k and words[k] is not None and words[k] == words[k - 1] else "")
            + (text[start:stop] or encoding.tokens[k])
            for k, (start, stop) in enumerate(encoding.offsets)
        ]

    def _by_vocabulary(self, ids: list[int]) -> list[str]:
        return self._set_up.convert_ids_to_tokens(ids)

    @cached_property
    def _file(self) -> Tokenizer | None:
        path = self._folder / "tokenizer.json"
        if not path.is_file():
            return None
        found = Tokenizer.from_file(str(path))
        found.no_truncation()
        found.no_padding()
        return found

    @cached_property
    def _set_up(self) -> Any:
        # Takes seconds to import, and few tokenisers are not what their file says.
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(str(self._folder), local_files_only=True)


def joined(found: Pieces) -> tuple[str, ...]:
    """The words of a text: pieces that continue one are put behind it.

    >>> joined(Pieces(("[start]", "micro", "##bio", "##logy", "[end]"), (-1, 0, 0, 0, 3)))
    ('[start]', 'microbiology', '[end]')
    """
    words: dict[int, str] = {}
    for word, text in zip(found.words, found.texts, strict=True):
        words[word] = words[word] + text.removeprefix(CONTINUED) if word in words else text
    return tuple(words.values())
