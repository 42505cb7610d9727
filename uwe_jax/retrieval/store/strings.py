"""Lists of texts as two arrays, so that a file can hold them and a reader decodes no more than it is asked for."""

from __future__ import annotations

import abc
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from uwe_jax.data.ragged import run_entries, run_offsets

_AT_ONCE = 1 << 16  # texts decoded to see whether they can be


class LazyStrings(Sequence[str]):
    """A sequence of texts that are made when they are asked for; equal to any sequence of the same texts."""

    @abc.abstractmethod
    def at(self, position: int) -> str:
        """The text at a position from 0 to n - 1."""

    @overload
    def __getitem__(self, position: int) -> str: ...
    @overload
    def __getitem__(self, position: slice) -> list[str]: ...
    def __getitem__(self, position: int | slice) -> str | list[str]:
        if isinstance(position, slice):
            return [self.at(each) for each in range(*position.indices(len(self)))]
        if not -len(self) <= position < len(self):
            raise IndexError(f"There is no text {position} among {len(self)}.")
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
        """Whether every text can be decoded, for lists that others have written."""
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
        """The texts at some positions [k], in their order."""
        sizes = np.diff(self.offsets)[positions]
        return PackedStrings(self.blob[run_entries(self.offsets[positions], sizes)], run_offsets(sizes))


@dataclass(frozen=True, eq=False, repr=False)
class JoinedStrings(LazyStrings):
    """Several lists one after another.

    Attributes:
      lists: each with the positions [k] in it that count, None for all.
      bounds: where each list starts, and behind them n: int64 [lists + 1].
    """

    lists: tuple[tuple[PackedStrings, np.ndarray | None], ...]
    bounds: np.ndarray

    @classmethod
    def join(cls, lists: Iterable[tuple[PackedStrings, np.ndarray | None]]) -> JoinedStrings:
        """Makes one list of several."""
        lists = tuple(lists)
        return cls(lists, run_offsets(np.array([len(p if k is None else k) for p, k in lists], np.int64)))

    def __len__(self) -> int:
        return int(self.bounds[-1])

    def at(self, position: int) -> str:
        number = int(np.searchsorted(self.bounds, position, side="right")) - 1
        packed, kept = self.lists[number]
        inside = position - int(self.bounds[number])
        return packed.at(inside if kept is None else int(kept[inside]))

    def __iter__(self) -> Iterator[str]:
        for packed, kept in self.lists:
            yield from packed if kept is None else packed.take(kept)


def _text(encoded: bytes) -> str:
    return encoded.decode("utf-8", "surrogatepass")
