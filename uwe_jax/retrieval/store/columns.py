"""Texts of targets as Arrow arrays, which a file can hold and a reader decodes on demand.

Hits show further columns, and rankings are filtered by them; of these each distinct text is held once.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from uwe_jax.data.text import normalise
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.settings import did_you_mean
from uwe_jax.sources.tables.problems import shorten
from uwe_jax.sources.tables.values import half_pair

# The reserved column with the role of every name of a target, whose label has "". Other columns have longer names.
ROLE = ""
ALTERNATIVE, DESCRIPTION = "alternative", "description"
MAX_COLUMNS = 32
MAX_NAME = 100  # characters
_AT_ONCE = 1 << 16  # texts decoded by an iteration
FREQUENT = 5  # values that a message names
COMPARED, _COMPARED_LENGTH = 1000, 100  # values, and their characters, that an unknown one is compared with

# Allowed values by column: one value, or alternatives. Every column must match.
Where = Mapping[str, str | Sequence[str]] | None


class FilterError(UserError):
    """A filter names a column or a value that no target has."""


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


def joined(columns: Sequence[pa.DictionaryArray]) -> pa.ChunkedArray:
    """Concatenates columns, each an array of int32 codes with the dictionary of the values that occur in it.

    >>> joined([pa.array(each, pa.large_string()).dictionary_encode() for each in (["b", "a"], ["c", "a"])])[3].as_py()
    'a'
    """
    return pa.chunked_array(columns, pa.dictionary(pa.int32(), pa.large_string())).unify_dictionaries()


def taken(column: pa.DictionaryArray, positions: np.ndarray) -> pa.DictionaryArray:
    """Returns the texts of a column at positions [k], in their order."""
    used, codes = np.unique(column.indices.to_numpy()[positions], return_inverse=True)
    return pa.DictionaryArray.from_arrays(codes.astype(np.int32), column.dictionary.take(used))


def packed(columns: Mapping[str, Sequence[str]] | None, number: int) -> dict[str, pa.DictionaryArray]:
    """Packs the columns of a number of targets, normalised as the targets' texts are.

    Raises:
      UserError: too many columns, an invalid name, a wrong number of values, or a value that is not valid text.
    """
    columns = columns or {}
    if len(columns) > MAX_COLUMNS:
        raise UserError(f"Got {len(columns)} further columns; at most {MAX_COLUMNS} are allowed. Leave some out.")
    for name, values in columns.items():
        if not 1 <= len(name) <= MAX_NAME:
            raise UserError(f"The column name {shorten(name)} must have 1 to {MAX_NAME} characters.")
        if len(values) != number or isinstance(values, str):
            raise UserError(
                f"The column {name} has {len(values):,} values for {number:,} targets. Give one per target."
            )
        if odd := [each for each in values if not isinstance(each, str)]:
            raise UserError(
                f"The column {name} holds {odd[0]!r}, a {type(odd[0]).__name__}; values must be text (str)."
            )
    return {name: packed_strings(map(normalise, values)).dictionary_encode() for name, values in columns.items()}


def alternatives(where: Where) -> dict[str, tuple[str, ...]]:
    """Returns the values that a filter allows, by column, normalised as those of targets are.

    >>> alternatives({"family": "food ", "level": ["1", "2"]})
    {'family': ('food',), 'level': ('1', '2')}

    Raises:
      FilterError: the filter is not by names of columns, or a column has no value, or a value is not valid text.
    """
    if where is not None and not isinstance(where, Mapping):
        raise FilterError(f"The filter is {shorten(repr(where))}. Give values by column, such as {{'family': 'food'}}.")
    found: dict[str, tuple[str, ...]] = {}
    for name, values in (where or {}).items():
        if not isinstance(name, str):
            raise FilterError(
                f"The filter names the column {shorten(repr(name))}. Give the name of a column as a string."
            )
        listed = [values] if isinstance(values, str) or not isinstance(values, Iterable) else list(values)
        if not listed or not all(isinstance(each, str) for each in listed):
            raise FilterError(f"The filter of {shorten(name)} is {shorten(repr(values))}. Give one or more strings.")
        if half_pair(listed):
            raise FilterError(f"The filter of {shorten(name)} is {shorten(repr(values))}, which is not valid Unicode.")
        found[name] = tuple(dict.fromkeys(map(normalise, listed)))
    return found


def matching(columns: Mapping[str, Strings], where: Where, number: int) -> np.ndarray:
    """Returns a mask of the targets that match a filter, bool [n].

    Raises:
      FilterError: as `alternatives`, or no target has a column or a value.
    """
    fits = np.ones(number, bool)
    for name, values in alternatives(where).items():
        check_column(name, columns)
        column = columns[name].array
        at = pc.index_in(column, pa.array(values, pa.large_string())).fill_null(len(values)).to_numpy()
        occurs = np.bincount(at, minlength=len(values))[: len(values)] > 0
        if not occurs.all():
            counts = Counter({each["values"]: each["counts"] for each in pc.value_counts(column).to_pylist()})
            raise unknown_value(name, values[int(occurs.argmin())], dict(counts.most_common(COMPARED)))
        fits &= at < len(values)
    return fits


def check_column(name: str, known: Collection[str]) -> None:
    """Raises FilterError unless a column is among those of an index."""
    if not known:
        raise FilterError(
            f"There is no column {shorten(name)}: the targets have only text and id. Build the index from a table with "
            "further columns."
        )
    if name not in known:
        hint = did_you_mean(name, known) if len(name) <= MAX_NAME else ""
        raise FilterError(f"There is no column {shorten(name)}.{hint} Further columns: {', '.join(known)}.")


def unknown_value(name: str, value: str, frequent: Mapping[str, int]) -> FilterError:
    """Returns the error of a filter value that no target has, with the nearest and most frequent ones by count."""
    short = {each.casefold(): each for each in frequent if len(each) <= _COMPARED_LENGTH}
    asked = value.casefold() if len(value) <= _COMPARED_LENGTH else ""
    near = difflib.get_close_matches(asked, short, n=1) or [each for each in short if asked and asked in each]
    hint = f" Did you mean {short[near[0]]!r}?" if near else ""
    named = ", ".join(f"{shorten(each)} ({count:,})" for each, count in list(frequent.items())[:FREQUENT])
    return FilterError(f"No target has {shorten(value)} as its {name}.{hint} The most frequent values: {named}.")
