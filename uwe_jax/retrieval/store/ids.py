"""Ids of targets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from uwe_jax.retrieval.store.columns import Strings, packed_strings
from uwe_jax.runtime.errors import UserError

_NAMED = 5  # ids that a message names


def target_ids(texts: Sequence[str], ids: Sequence[str] | None) -> Strings:
    """Returns the ids of n targets: as given, or the texts themselves.

    Raises:
      UserError: a wrong number of ids, duplicate ids, or an id that is not valid text.
    """
    chosen = texts if ids is None else ids
    if len(chosen) != len(texts):
        raise UserError(f"There are {len(texts):,} targets and {len(chosen):,} ids. Give one id per target.")
    if odd := [each for each in chosen if not isinstance(each, str)]:
        raise UserError(f"The id {odd[0]!r} is of type {type(odd[0]).__name__}; ids are strings: give {str(odd[0])!r}.")
    if twice := [each for each, times in Counter(chosen).items() if times > 1]:
        how = "duplicate targets, and texts are their own ids" if ids is None else "duplicate ids"
        raise UserError(f"There are {len(twice):,} {how}: {_some(twice)}. Give every target its own id.")
    return Strings(packed_strings(chosen))


def _some(ids: Iterable[str]) -> str:
    ordered = sorted(ids)
    shown = ", ".join(repr(each if len(each) <= 60 else each[:57] + "...") for each in ordered[:_NAMED])
    return f"{shown} and {len(ordered) - _NAMED:,} more" if len(ordered) > _NAMED else shown
