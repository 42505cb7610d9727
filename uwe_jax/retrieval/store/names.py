"""Names of targets in an index: their rows, those that equal a query, and rankings with exact names first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float, Int, Num

from uwe_jax.data.ragged import run_offsets
from uwe_jax.data.text import name_key
from uwe_jax.retrieval.store.columns import ALTERNATIVE, DESCRIPTION, Strings
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.tables.problems import shorten


class Name(NamedTuple):
    """A name of a target and its role: "" of the label, "alternative" or "description"."""

    text: str
    role: str = ALTERNATIVE


def no_target(id: str) -> UserError:
    """Returns the error of an id that no target has."""
    return UserError(f"The index has no target with the id {shorten(id)}. Give the id of one of its targets.")


def distinct_names(label: str, names: Iterable[Name]) -> list[Name]:
    """Returns the names of a target without those that equal its label or an earlier one up to case.

    >>> [name.text for name in distinct_names("nurse", map(Name, ["Nurse", "carer", "Carer"]))]
    ['carer']
    """
    kept = {label.casefold(): Name(label)}
    for name in names:
        kept.setdefault(name.text.casefold(), name)
    return list(kept.values())[1:]


def rows_of(texts: Sequence[str], names: Sequence[Sequence[Name]]) -> tuple[list[Name], np.ndarray]:
    """Returns the names of all targets, the label of each followed by its further names, and the labels' positions.

    >>> rows_of(["nurse", "cook"], [[Name("carer")], []])
    ([Name(text='nurse', role=''), Name(text='carer', role='alternative'), Name(text='cook', role='')], array([0, 2]))
    """
    rows = [name for text, more in zip(texts, names, strict=True) for name in (Name(text, ""), *more)]
    return rows, run_offsets(np.array([1 + len(more) for more in names], np.int64))[:-1]


def starts_of(roles: pa.ChunkedArray, ids: pa.ChunkedArray) -> Int[np.ndarray, " n"]:
    """Returns the positions of labels among all names.

    Raises:
      UserError: a name does not follow another one of its target.
    """
    labels = pc.is_in(roles, pa.array([""], pa.large_string())).to_numpy()
    same = pc.equal(ids[1:], ids[:-1]).to_numpy()
    if not (labels[:1].all() and (labels[1:] | same).all()):
        raise UserError(
            "The index is damaged: it holds names that do not follow the label of their target. Restore it from a "
            "copy, or build the index again."
        )
    return np.flatnonzero(labels)


def descriptions_of(roles: pa.ChunkedArray) -> Bool[np.ndarray, " names"]:
    """Tells which of all names are descriptions."""
    return pc.is_in(roles, pa.array([DESCRIPTION], pa.large_string())).to_numpy()


class ExactNames:
    """Finds names by their `name_key`, with sixteen bytes per name."""

    def __init__(self, names: Strings):
        self._names = names
        hashes = np.fromiter((hash(name_key(name)) for name in names), np.int64, len(names))
        self._order = np.argsort(hashes, kind="stable")
        self._hashes = hashes[self._order]

    def rows(self, text: str) -> list[int]:
        """Returns the ascending positions of the names that equal a text up to case, hyphens and plural s."""
        key = name_key(text)
        first, last = (np.searchsorted(self._hashes, hash(key), side) for side in ("left", "right"))
        return [row for row in self._order[first:last].tolist() if name_key(self._names[row]) == key]


def exact_first(
    positions: Int[np.ndarray, " k"], scores: Num[np.ndarray, " k"], exact: Iterable[int]
) -> Int[np.ndarray, " k"]:
    """Returns the order of targets: exact names first, then by score, equal scores by position.

    >>> exact_first(np.array([3, 1, 7]), np.array([0.5, 0.5, 0.2]), [7]).tolist()
    [2, 1, 0]
    """
    return np.lexsort((positions, -scores, ~np.isin(positions, list(exact))))


def best(scores: Float[np.ndarray, " n"], k: int, exact: Iterable[int]) -> Int[np.ndarray, " k"]:
    """Returns the positions of the k best targets, in the order of `exact_first`; those of minus infinity never count.

    >>> best(np.array([0.1, 0.3, -np.inf, 0.3]), 2, [0]).tolist()
    [0, 1]
    """
    ranked = scores.copy()
    ranked[list(exact)] = np.inf
    k = min(k, len(ranked))
    at = np.flatnonzero((ranked >= np.partition(ranked, len(ranked) - k)[len(ranked) - k]) & np.isfinite(scores))
    return at[exact_first(at, scores[at], exact)[:k]]
