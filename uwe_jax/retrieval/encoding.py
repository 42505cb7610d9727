"""Encodes targets with their names into an index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from uwe_jax.data.text import normalise
from uwe_jax.retrieval.embedding import Embedder
from uwe_jax.retrieval.limits import accepted
from uwe_jax.retrieval.store.columns import ALTERNATIVE, DESCRIPTION, packed
from uwe_jax.retrieval.store.ids import target_ids
from uwe_jax.retrieval.store.names import Name, distinct_names, rows_of
from uwe_jax.retrieval.store.quantise import check_dtype
from uwe_jax.retrieval.store.searchable import Origin
from uwe_jax.retrieval.store.stored_targets import Index
from uwe_jax.runtime.errors import UserError

_PART = 32768  # names encoded before their conversion to the storage dtype: a few gigabytes of float32 at most


def encode_index(
    embed: Embedder,
    origin: Origin,
    texts: Sequence[str],
    ids: Sequence[str] | None,
    *,
    dtype: str,
    progress: bool,
    columns: Mapping[str, Sequence[str]],
    names: Sequence[Sequence[str | tuple[str, str]]],
) -> Index:
    """Encodes n targets; see `Ranker.encode_targets`."""
    check_dtype(dtype)
    targets = accepted(texts, "Target")
    chosen = target_ids(targets, ids)  # before the hours that encoding may take
    packed(columns, len(targets))
    if not targets:
        raise UserError("There are no targets to encode. Give at least one text.")
    further = _further_names(targets, names) if len(names) else [[] for _ in targets]
    starts = rows_of(targets, further)[1]
    # Whole targets, each of at most so many names where it has no more.
    cuts = np.unique(np.searchsorted(starts, np.arange(0, starts[-1] + 1, _PART)))
    spaces = []
    for number, start in enumerate(cuts.tolist(), 1):
        part = slice(start, int(cuts[number]) if number < len(cuts) else len(targets))
        of = f", part {number} of {len(cuts)}" if len(cuts) > 1 else ""
        texts = [name.text for name in rows_of(targets[part], further[part])[0]]
        tokens = embed(texts, f"Encoding targets{of}" if progress else "", targets=True)
        rows = {name: values[part] for name, values in columns.items()}
        spaces.append(
            Index.from_tokens(tokens, targets[part], chosen[part], origin, dtype, columns=rows, names=further[part])
        )
    first, parts = spaces[0], [part for space in spaces for part in space.parts]
    return Index(origin, dtype, first.width, first.pooled, parts)


def _further_names(targets: Sequence[str], names: Sequence[Sequence[str | tuple[str, str]]]) -> list[list[Name]]:
    """Returns the further names of targets, checked; empty ones, and those that differ in case alone, are left out."""
    if len(names) != len(targets):
        raise UserError(f"There are {len(targets):,} targets and {len(names):,} lists of names. Give every target one.")
    found = []
    for position, (target, more) in enumerate(zip(targets, names, strict=True), 1):
        if isinstance(more, str):
            raise UserError(f"The names of target {position} are the text {more[:60]!r}. Give a list of texts.")
        given = [Name(*each) if isinstance(each, tuple) and len(each) == 2 else Name(each) for each in more]
        for role in (each.role for each in given):
            if role not in (ALTERNATIVE, DESCRIPTION):
                raise UserError(
                    f"A name of target {position} has the role {role!r}. Expected {ALTERNATIVE!r} or {DESCRIPTION!r}."
                )
        given = [each for each in given if not isinstance(each.text, str) or normalise(each.text)]
        texts = accepted([each.text for each in given], f"Target {position}, name")
        found.append(
            distinct_names(target, (each._replace(text=text) for each, text in zip(given, texts, strict=True)))
        )
    return found
