"""Location of an index as users write it (its folder, or `qdrant:STORE#NAME`), and the record of its origin.

`Origin` identifies the right model wherever it is; the record says where it was loaded from.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from uwe_jax.models.loading import split_scorer
from uwe_jax.models.resolve import absolute_name
from uwe_jax.retrieval.qdrant.qdrant_space import QdrantIndex
from uwe_jax.retrieval.store.folder import load_index
from uwe_jax.retrieval.store.stored_targets import Index
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import write_json
from uwe_jax.runtime.json_file import read_json

SCHEME = "qdrant:"
_RECORD = "index.json"


def in_qdrant(spec: str | Path) -> tuple[str, str] | None:
    """Returns the store and the name in a text such as `qdrant:https://host:6333#skills`; None for a folder.

    >>> in_qdrant("qdrant:indexes/all#skills")
    ('indexes/all', 'skills')
    >>> in_qdrant("indexes/skills") is None
    True

    Raises:
      UserError: it starts with `qdrant:` and lacks a store or a name.
    """
    text = str(spec)
    if not text.startswith(SCHEME):
        return None
    store, _, name = text.removeprefix(SCHEME).rpartition("#")
    if not store or not name:
        raise UserError(
            f"{text!r} does not name an index in Qdrant. Write {SCHEME}STORE#NAME, where STORE is a folder or the URL "
            "of a server."
        )
    return store, name


def open_index(spec: str | Path) -> Index | QdrantIndex:
    """Opens the index in a folder or at `qdrant:STORE#NAME`.

    Raises:
      UserError: there is none, or it cannot be opened.
    """
    place = in_qdrant(spec)
    return QdrantIndex.open(*place) if place else load_index(spec)


class Recorded(NamedTuple):
    """The sources of an index.

    Attributes:
      model: as of `load_model`, an absolute path; "" where it is unknown.
      targets: the source of every set of targets that was added.
    """

    model: str = ""
    targets: tuple[str, ...] = ()


def record(folder: Path, model: str, targets: tuple[str, ...]) -> None:
    """Writes the record of an index, with the model's folder as an absolute path; replaces an earlier one."""
    name, scorer = split_scorer(model)
    full = absolute_name(name) + ("" if scorer is None else f":{scorer}")
    write_json(folder / _RECORD, Recorded(full, targets)._asdict())


def recorded(folder: Path) -> Recorded:
    """Reads the record of an index; an empty one where none can be read."""
    try:
        found = read_json(folder / _RECORD, "")
        return Recorded(str(found["model"]), tuple(map(str, found["targets"])))
    except (UserError, KeyError, TypeError):
        return Recorded()


def recorded_model(places: Sequence[str]) -> str:
    """Returns the model that all indexes were built with.

    Raises:
      UserError: an index has no record of it, or they were built with several.
    """
    models = {place: recorded(Path(place).expanduser()).model for place in places}
    if unknown := [place for place, model in models.items() if not model]:
        raise UserError(f"{unknown[0]} does not say where its model was loaded from. Name the model with --model.")
    if (number := len(set(models.values()))) > 1:
        which = ", ".join(f"{place} by {model}" for place, model in models.items())
        raise UserError(f"The indexes were built with {number} models: {which}. Rank them separately.")
    return next(iter(models.values()))
