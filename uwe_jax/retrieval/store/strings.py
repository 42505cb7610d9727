"""Texts as Arrow arrays, which a file can hold and a reader decodes on demand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np
import pyarrow as pa

from uwe_jax.runtime.errors import UserError

_AT_ONCE = 1 << 16  # texts decoded by an iteration


class Strings(Sequence[str]):
    """The texts of an Arrow array, decoded on access; equal to any sequence of the same texts.

    >>> texts = Strings(packed_strings(["nurse", "", "cook"]))
    >>> texts[2], texts[:2], texts == ["nurse", "", "cook"]
    ('cook', ['nurse', ''], True)

    Attributes:
      array: large_string, or a dictionary of it; may be memory-mapped.
    """

    def __init__(self, array: pa.Array | pa.ChunkedArray):
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, position: int) -> str: ...
    @overload
    def __getitem__(self, position: slice) -> list[str]: ...
    def __getitem__(self, position: int | slice) -> str | list[str]:
        found = self.array[position]
        return found.to_pylist() if isinstance(position, slice) else found.as_py()

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _AT_ONCE):
            yield from self.array[start : start + _AT_ONCE].to_pylist()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # as of a list

    def __repr__(self) -> str:
        shown = ", ".join(repr(text) for text in self[:3])
        return f"<{len(self):,} texts: {shown}{', ...' if len(self) > 3 else ''}>"


def packed_strings(texts: Iterable[str]) -> pa.Array:
    """Encodes texts as UTF-8, one after another: large_string [n].

    Raises:
      UserError: a text holds half a surrogate pair.
    """
    try:
        return pa.array(texts, pa.large_string())
    except UnicodeEncodeError as error:
        raise UserError(
            f"{error.object!r} is not valid Unicode: character {error.start + 1} is half of a pair. Read it with the "
            "encoding that it was written in."
        ) from error


def buffers(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Returns the offsets int64 [n + 1] and the UTF-8 uint8 [bytes] of texts: k is blob[offsets[k]:offsets[k + 1]]."""
    _, ends, data = texts.buffers()
    offsets = np.frombuffer(ends, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    return offsets - offsets[0], np.frombuffer(data or b"", np.uint8)[offsets[0] : offsets[-1]]
