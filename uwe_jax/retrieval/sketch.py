"""Sketches of sets of texts, by which the share that two sets have in common is estimated (Broder 1997)."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Sequence

SIZE = 128
_BYTES = 6  # of a hash


def sketch(texts: Iterable[str]) -> tuple[str, ...]:
    """Returns the `SIZE` smallest hashes of the distinct texts, whatever their case."""
    distinct = {text.casefold() for text in texts}
    hashes = (hashlib.blake2b(text.encode(errors="replace"), digest_size=_BYTES).hexdigest() for text in distinct)
    return tuple(heapq.nsmallest(SIZE, hashes))


def in_common(one: Sequence[str], other: Sequence[str]) -> float:
    """Estimates the share of the texts of two sets that is in both, by their sketches; 0.8 is within 0.07 mostly.

    >>> in_common(sketch(["cook", "nurse", "welder"]), sketch(["Cook", "nurse"])) == 2 / 3
    True
    """
    union, both = heapq.nsmallest(SIZE, {*one, *other}), {*one} & {*other}
    return sum(each in both for each in union) / max(1, len(union))
