"""Lists of texts as byte and offset arrays, which a file can hold and a reader decodes on demand."""

from __future__ import annotations

import abc
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from uwe_jax.data.ragged import run_entries, run_offsets

_AT_ONCE = 1 << 16  # texts decoded by a check


class LazyStrings(Sequence[str]):
    """A sequence of texts, decoded on access; equal to any sequence of the same texts."""

    @abc.abstractmethod
    def at(self, position: int) -> str:
        """Returns the text at a position from 0 to n - 1."""

    @overload
    def __getitem__(self, position: int) -> str: ...
    @overload
    def __getitem__(self, position: slice) -> list[str]: ...
    def __getitem__(self, position: int | slice) -> str | list[str]:
        if isinstance(position, slice):
            return [self.at(each) for each in range(*position.indices(len(self)))]
        if not -len(self) <= position < len(self):
            raise IndexError(f"Position {position} is out of range for {len(self)} texts.")
        return self.at(position % len(self))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # as of a list

    def __repr__(self) -> str:
        shown = ", ".join(repr(text) for text in self[:3])
        return f"<{len(self):,} texts: {shown}{', ...' if len(self) > 3 else ''}>"


@dataclass(frozen=True, eq=False, repr=False)
class PackedStrings(LazyStrings):
    """n texts, one after another: text k is blob[offsets[k]:offsets[k + 1]].

    Attributes:
      blob: UTF-8, uint8 [bytes]; may be memory-mapped. Lone surrogates are kept.
      offsets: int64 [n + 1].
    """

    blob: np.ndarray
    offsets: np.ndarray

    @classmethod
    def pack(cls, texts: Iterable[str]) -> PackedStrings:
        """Encodes texts.

        >>> PackedStrings.pack(["nurse", "", "cook"])[2]
        'cook'
        """
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        blob = np.frombuffer(b"".join(encoded), np.uint8)
        return cls(blob, run_offsets(np.array([len(each) for each in encoded], np.int64)))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def at(self, position: int) -> str:
        return _text(self.blob[self.offsets[position] : self.offsets[position + 1]].tobytes())

    def __iter__(self) -> Iterator[str]:
        whole, bounds = self.blob.tobytes(), self.offsets.tolist()
        return (_text(whole[start:stop]) for start, stop in itertools.pairwise(bounds))

    def are_text(self) -> bool:
        """Returns whether every text can be decoded, for lists of foreign files."""
        starts = self.offsets[self.offsets < len(self.blob)]
        if ((self.blob[starts] & 0xC0) == 0x80).any():  # in the middle of a character
            return False
        try:
            for first in range(0, len(self), _AT_ONCE):
                _text(self.blob[self.offsets[first] : self.offsets[min(first + _AT_ONCE, len(self))]].tobytes())
        except UnicodeDecodeError:
            return False
        return True

    def take(self, positions: np.ndarray) -> PackedStrings:
        """Returns the texts at positions [k], in their order."""
        sizes = np.diff(self.offsets)[positions]
        return PackedStrings(self.blob[run_entries(self.offsets[positions], sizes)], run_offsets(sizes))


class JoinedStrings(LazyStrings):
    """The concatenation of lists, each with the positions [k] in it that count, None for all."""

    def __init__(self, lists: Iterable[tuple[PackedStrings, np.ndarray | None]]):
        self._lists = tuple(lists)
        sizes = [len(packed if kept is None else kept) for packed, kept in self._lists]
        self._bounds = run_offsets(np.array(sizes, np.int64))

    def __len__(self) -> int:
        return int(self._bounds[-1])

    def at(self, position: int) -> str:
        number = int(np.searchsorted(self._bounds, position, side="right")) - 1
        packed, kept = self._lists[number]
        inside = position - int(self._bounds[number])
        return packed.at(inside if kept is None else int(kept[inside]))

    def __iter__(self) -> Iterator[str]:
        for packed, kept in self._lists:
            yield from packed if kept is None else packed.take(kept)


def _text(encoded: bytes) -> str:
    return encoded.decode("utf-8", "surrogatepass")
