"""Segments: targets with their tokens in storage format, and the safetensors file of each.

A file is written once, never changed, and memory-mapped.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from uwe_jax.data.ragged import run_entries, run_offsets
from uwe_jax.retrieval.store.columns import buffers, joined, taken
from uwe_jax.retrieval.store.quantise import DTYPES, is_finite, quantise, restore
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.json_file import parse_json

_CODES = {"I64": np.dtype(np.int64), "U8": np.dtype(np.uint8), "F32": DTYPES["float32"], "BF16": DTYPES["bfloat16"]}
_CODES |= {"F16": DTYPES["float16"], "I8": DTYPES["int8"], "I32": np.dtype(np.int32)}
_NAMES = {dtype: code for code, dtype in _CODES.items()}
_ALIGNMENT = 8
_AT_ONCE = 1 << 24  # bytes hashed and written at once
_MOST_HEADER = 1 << 18  # bytes; seven tensors take some hundred, and the names of columns the most
_METADATA, _COLUMNS = "__metadata__", "columns"
_AGAIN = "Restore it from a copy, or build the index again."


@dataclass(frozen=True, eq=False)
class Segment:
    """n targets; target k has the rows values[offsets[k]:offsets[k + 1]].

    A target with several names takes several places: one for each name, adjacent and with its id, the label first. The
    column ROLE has the role of each.

    Attributes:
      values: [tokens, d] in a storage dtype (see `quantise`).
      scales: float32 [tokens] in int8, else None.
      offsets: int64 [n + 1].
      texts: of the targets, large_string [n].
      ids: of the targets, unique in an index up to names, large_string [n].
      columns: further ones, by their names, each a dictionary of large_string [n].
    """

    values: np.ndarray
    scales: np.ndarray | None
    offsets: np.ndarray
    texts: pa.Array
    ids: pa.Array
    columns: Mapping[str, pa.DictionaryArray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, positions: np.ndarray) -> Segment:
        """Returns the targets at positions [k], in their order."""
        lengths = np.diff(self.offsets)[positions]
        rows = run_entries(self.offsets[positions], lengths)
        scales = None if self.scales is None else self.scales[rows]
        columns = {name: taken(column, positions) for name, column in self.columns.items()}
        texts, ids = self.texts.take(positions), self.ids.take(positions)
        return Segment(self.values[rows], scales, run_offsets(lengths), texts, ids, columns)


@dataclass(frozen=True, eq=False)
class Part:
    """The targets of a segment that were not removed.

    Attributes:
      segment: with all its targets.
      kept: positions of those that count, int64 [n] ascending; None for all.
    """

    segment: Segment
    kept: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.segment if self.kept is None else self.kept)

    def at(self, texts: pa.Array) -> pa.Array:
        """Returns those of the segment's texts or ids that count."""
        return texts if self.kept is None else texts.take(self.kept)

    def without(self, ids: set[str]) -> Part:
        """Returns the part without targets of these ids; unknown ids are ignored."""
        positions = np.arange(len(self.segment)) if self.kept is None else self.kept
        gone = pc.is_in(self.at(self.segment.ids), pa.array(list(ids), pa.large_string())).to_numpy(
            zero_copy_only=False
        )
        return Part(self.segment, positions[~gone]) if gone.any() else self

    def column(self, name: str) -> pa.DictionaryArray:
        """Returns a further column of the targets that count; empty texts where the segment has none of that name."""
        column = self.segment.columns.get(name)
        if column is None:
            return pa.DictionaryArray.from_arrays(np.zeros(len(self), np.int32), pa.array([""], pa.large_string()))
        return column if self.kept is None else taken(column, self.kept)

    def whole(self) -> Segment:
        """Returns a segment of only the targets that count."""
        return self.segment if self.kept is None else self.segment.take(self.kept)

    def in_dtype(self, dtype: str) -> Part:
        """Converts the targets to another storage dtype."""
        whole = self.whole()
        values, scales = quantise(restore(whole.values, whole.scales), dtype)
        return Part(replace(whole, values=values, scales=scales))


def joined_columns(parts: Sequence[Part]) -> dict[str, pa.ChunkedArray]:
    """Concatenates the further columns of parts; each has every column of any."""
    names = dict.fromkeys(name for part in parts for name in part.segment.columns)
    return {name: joined([part.column(name) for part in parts]) for name in names}


def write_segment(path: Path, segments: Sequence[Segment]) -> tuple[int, str, tuple[str, ...]]:
    """Writes the targets of segments of one dtype to a new file, in their order, and waits for the disk.

    Returns:
      Its bytes, their sha256, and the names of the further columns.

    Raises:
      OSError: it could not be written; nothing is left of it.
    """
    columns = joined_columns([Part(segment) for segment in segments])
    tensors = _tensors(segments, [column.chunks for column in columns.values()])
    header: dict[str, Any] = {_METADATA: {_COLUMNS: json.dumps(list(columns))}} if columns else {}
    end = 0
    for name, arrays in tensors.items():
        start, end = end, end + sum(array.nbytes for array in arrays)
        shape = [sum(map(len, arrays)), *arrays[0].shape[1:]]
        header[name] = {"dtype": _NAMES[arrays[0].dtype], "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    digest, size = hashlib.sha256(), 0
    data = (np.ascontiguousarray(each).reshape(-1).view(np.uint8) for each in itertools.chain(*tensors.values()))
    try:
        with path.open("xb") as file:
            for part in itertools.chain[Any]([len(text).to_bytes(8, "little"), text], data):
                view = memoryview(part)
                for start in range(0, len(view), _AT_ONCE):
                    digest.update(view[start : start + _AT_ONCE])
                    file.write(view[start : start + _AT_ONCE])
                size += len(view)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return size, digest.hexdigest(), tuple(columns)


def _tensors(segments: Sequence[Segment], columns: Sequence[Sequence[pa.Array]]) -> dict[str, list[np.ndarray]]:
    """Returns the arrays of every tensor, so that nothing large is copied to write it.

    The widest numbers come first, so every tensor starts at a multiple of its own width.
    """

    def one_run(offsets: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [run_offsets(np.concatenate([np.diff(each) for each in offsets]))]

    texts, ids = ([buffers(each) for each in side] for side in ([s.texts for s in segments], [s.ids for s in segments]))
    values = [buffers(chunks[0].dictionary) for chunks in columns]  # all chunks have one dictionary
    tensors = {
        "offsets": one_run([segment.offsets for segment in segments]),
        "text_offsets": one_run([offsets for offsets, _ in texts]),
        "id_offsets": one_run([offsets for offsets, _ in ids]),
        **{f"column_{k}_offsets": [offsets] for k, (offsets, _) in enumerate(values)},
        **{f"column_{k}_codes": [each.indices.to_numpy() for each in chunks] for k, chunks in enumerate(columns)},
        "scales": [segment.scales for segment in segments if segment.scales is not None],
        "values": [segment.values for segment in segments],
        "texts": [blob for _, blob in texts],
        "ids": [blob for _, blob in ids],
        **{f"column_{k}": [blob] for k, (_, blob) in enumerate(values)},
    }
    return {name: arrays for name, arrays in tensors.items() if arrays}


def read_segment(path: Path, sha256: str) -> Segment:
    """Maps a segment into memory, after verifying its checksum and content.

    Raises:
      OSError: there is no such file, or it cannot be read.
      UserError: it is damaged, or holds content that cannot be searched.
    """
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise UserError(f"{path} is damaged: its sha256 is {found[:12]}..., expected {sha256[:12]}.... {_AGAIN}")
    try:
        return _mapped(path)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise UserError(f"{path} is damaged ({type(error).__name__}: {error}). {_AGAIN}") from error


def _mapped(path: Path) -> Segment:
    mapped = np.memmap(path, np.uint8, "r").view(np.ndarray)
    length = int.from_bytes(mapped[:8].tobytes(), "little")
    if length > min(_MOST_HEADER, len(mapped) - 8):
        raise ValueError(f"a header of {length:,} bytes in a file of {len(mapped):,}")
    header = parse_json(mapped[8 : 8 + length].tobytes(), path, _AGAIN)
    data = mapped[8 + length :]

    def array(name: str, dtypes: Sequence[np.dtype], dimensions: int = 1) -> np.ndarray:
        start, stop = header[name]["data_offsets"]
        shape, dtype = header[name]["shape"], _CODES[header[name]["dtype"]]
        if not 0 <= start <= stop <= len(data) or dtype not in dtypes or len(shape) != dimensions or min(shape) < 0:
            raise ValueError(f"{name} of {dtype} {shape} at {start:,} to {stop:,} of {len(data):,} bytes")
        return data[start:stop].view(dtype).reshape(shape)

    def bounds(name: str, size: int) -> np.ndarray:
        offsets = array(name, (_CODES["I64"],))
        if not len(offsets) or offsets[0] != 0 or offsets[-1] != size or (offsets[1:] < offsets[:-1]).any():
            raise ValueError(f"{name} that do not ascend from 0 to {size:,}")
        return offsets

    def strings(name: str, offsets: str) -> pa.Array:
        blob = array(name, (_CODES["U8"],))
        at = bounds(offsets, len(blob))
        found = pa.Array.from_buffers(pa.large_string(), len(at) - 1, [None, pa.py_buffer(at), pa.py_buffer(blob)])
        found.validate(full=True)  # that it is UTF-8
        return found

    values, scales = array("values", tuple(DTYPES.values()), 2), None
    if values.dtype == DTYPES["int8"]:
        scales = array("scales", (DTYPES["float32"],))
        if len(scales) != len(values):
            raise ValueError(f"{len(scales):,} scales of {len(values):,} tokens")
    if not is_finite(values if scales is None else scales):
        raise ValueError("embeddings that are NaN or infinite")
    texts, ids = strings("texts", "text_offsets"), strings("ids", "id_offsets")
    columns = {}
    for k, name in enumerate(json.loads(header.get(_METADATA, {}).get(_COLUMNS, "[]"))):
        different, codes = strings(f"column_{k}", f"column_{k}_offsets"), array(f"column_{k}_codes", (_CODES["I32"],))
        if len(codes) != len(ids) or not ((codes >= 0) & (codes < len(different))).all():
            raise ValueError(f"codes of the column {name!r} that are not one of {len(different):,} for every target")
        if len(different.unique()) < len(different):
            raise ValueError(f"values of the column {name!r} that occur twice")
        columns[str(name)] = pa.DictionaryArray.from_arrays(codes, different)
    return Segment(values, scales, bounds("offsets", len(values)), texts, ids, columns)
