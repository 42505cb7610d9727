"""Segments as files in the safetensors format: one file each, written once, never changed, and memory-mapped."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from uwe_jax.data.ragged import run_offsets
from uwe_jax.retrieval.store.quantise import DTYPES
from uwe_jax.retrieval.store.segment import Segment
from uwe_jax.retrieval.store.strings import PackedStrings
from uwe_jax.runtime.errors import UserError

_CODES = {"I64": np.dtype(np.int64), "U8": np.dtype(np.uint8), "F32": DTYPES["float32"], "BF16": DTYPES["bfloat16"]}
_CODES |= {"F16": DTYPES["float16"], "I8": DTYPES["int8"]}
_NAMES = {dtype: code for code, dtype in _CODES.items()}
_ALIGNMENT = 8
_PIECE = 1 << 24  # bytes hashed and written at once


def write_segment(path: Path, segments: Sequence[Segment]) -> tuple[int, str]:
    """Writes the targets of some segments of one dtype to a new file, in their order, and waits until the disk has it.

    Returns:
      Its bytes, and their sha256.

    Raises:
      OSError: it could not be written; nothing is left of it.
    """
    tensors = _tensors(segments)
    header, end = {}, 0
    for name, pieces in tensors.items():
        start, end = end, end + sum(piece.nbytes for piece in pieces)
        shape = [sum(map(len, pieces)), *pieces[0].shape[1:]]
        header[name] = {"dtype": _NAMES[pieces[0].dtype], "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("xb") as file:
            arrays = itertools.chain.from_iterable(tensors.values())
            for piece in itertools.chain([len(text).to_bytes(8, "little"), text], map(_bytes, arrays)):
                view = memoryview(piece)
                for start in range(0, len(view), _PIECE):
                    digest.update(view[start : start + _PIECE])
                    file.write(view[start : start + _PIECE])
                size += len(view)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return size, digest.hexdigest()


def _tensors(segments: Sequence[Segment]) -> dict[str, list[np.ndarray]]:
    """What the file holds, in pieces, so that nothing large is copied to write it.

    The widest numbers come first: so every tensor stands at a multiple of its own width.
    """
    texts, ids = [segment.texts for segment in segments], [segment.ids for segment in segments]
    tensors = {
        "offsets": [_joined_offsets([segment.offsets for segment in segments])],
        "text_offsets": [_joined_offsets([each.offsets for each in texts])],
        "id_offsets": [_joined_offsets([each.offsets for each in ids])],
        "scales": [segment.scales for segment in segments if segment.scales is not None],
        "values": [segment.values for segment in segments],
        "texts": [each.blob for each in texts],
        "ids": [each.blob for each in ids],
    }
    return {name: pieces for name, pieces in tensors.items() if pieces}


def _joined_offsets(offsets: Sequence[np.ndarray]) -> np.ndarray:
    return run_offsets(np.concatenate([np.diff(each) for each in offsets]))


def _bytes(array: np.ndarray) -> Any:
    """The memory of an array."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def read_segment(path: Path) -> Segment:
    """Maps a segment into memory: takes the same few milliseconds whatever its size.

    Raises:
      FileNotFoundError: there is no such file.
      UserError: it does not hold what it should.
    """
    try:
        mapped = np.memmap(path, np.uint8, "r").view(np.ndarray)
        length = int.from_bytes(mapped[:8].tobytes(), "little")
        header = json.loads(mapped[8 : 8 + length].tobytes())
        data = mapped[8 + length :]

        def array(name: str) -> np.ndarray:
            start, stop = header[name]["data_offsets"]
            return data[start:stop].view(_CODES[header[name]["dtype"]]).reshape(header[name]["shape"])

        texts = PackedStrings(array("texts"), array("text_offsets"))
        ids = PackedStrings(array("ids"), array("id_offsets"))
        scales = array("scales") if "scales" in header else None
        return Segment(array("values"), scales, array("offsets"), texts, ids)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is damaged ({type(error).__name__}: {error}). Restore it from a copy, or build the space again."
        ) from error
