"""Checksums of a training state and of its parts: storage formats do not notice every flipped bit."""

from __future__ import annotations

import json
import zlib
from typing import Any

import jax
import numpy as np

_META = "meta_checksum"  # in a meta object, of all else in it


def checksum(state: Any) -> int:
    """CRC-32 over the bytes of all leaves."""
    crc = 0
    for leaf in jax.tree.leaves(state):
        crc = zlib.crc32(np.ascontiguousarray(leaf).view(np.uint8).data, crc)
    return crc


def checksums_of_parts(state: Any) -> dict[str, int]:
    """That of every field of a training state, or of every key of a dictionary: parts that can be read alone."""
    return {name: checksum(part) for name, part in (state if isinstance(state, dict) else vars(state)).items()}


def with_checksum(meta: dict[str, Any]) -> dict[str, Any]:
    """A meta object with a checksum of its JSON, under a name of its own."""
    return {**meta, _META: zlib.crc32(json.dumps(meta, sort_keys=True).encode())}


def without_checksum(read: dict[str, Any]) -> dict[str, Any] | None:
    """The meta object that `with_checksum` was given; None where it is another one.

    One from before meta objects had checksums is taken as it is.
    """
    meta = {name: value for name, value in read.items() if name != _META}
    return meta if _META not in read or with_checksum(meta) == read else None
