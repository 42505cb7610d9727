"""Where a space is, as one writes it: its folder, or `qdrant:STORE#NAME` for one in Qdrant."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from uwe_jax.retrieval.qdrant.qdrant_space import QdrantSpace
from uwe_jax.retrieval.store.folder import load_space
from uwe_jax.retrieval.store.stored_targets import Space
from uwe_jax.runtime.errors import UserError

_SCHEME = "qdrant:"


class InQdrant(NamedTuple):
    """A space of a name in a store, which is a folder or a URL."""

    store: str
    name: str


def in_qdrant(spec: str | Path) -> InQdrant | None:
    """The store and the name in a text such as `qdrant:https://host:6333#skills`; None for a folder.

    >>> in_qdrant("qdrant:spaces/all#skills")
    InQdrant(store='spaces/all', name='skills')
    >>> in_qdrant("spaces/skills") is None
    True

    Raises:
      UserError: it starts with `qdrant:` and does not go on so.
    """
    text = str(spec)
    if not text.startswith(_SCHEME):
        return None
    store, _, name = text.removeprefix(_SCHEME).rpartition("#")
    if not store or not name:
        raise UserError(
            f"{text!r} does not name a space in Qdrant. Write {_SCHEME}STORE#NAME, where STORE is a folder or a "
            "server's URL."
        )
    return InQdrant(store, name)


def open_space(spec: str | Path, *, candidates: int | None = None) -> Space | QdrantSpace:
    """Opens a space.

    Args:
      spec: its folder, or `qdrant:STORE#NAME`.
      candidates: of a space in Qdrant; see `QdrantSpace`.

    Raises:
      UserError: there is none, or it cannot be opened.
    """
    place = in_qdrant(spec)
    return QdrantSpace.open(*place, candidates=candidates) if place else load_space(spec)


def put_space(spec: str | Path, space: Space, *, replace: bool = False, bar: bool = True) -> None:
    """Writes a space to its folder, or uploads it where the text names one in Qdrant.

    Args:
      spec: as of `open_space`.
      space: what to write.
      replace: in Qdrant, also take the place of a space by another model.
      bar: shows the progress of an upload.

    Raises:
      UserError: the place is taken or cannot be written.
    """
    place = in_qdrant(spec)
    if place:
        QdrantSpace.create(*place, space, replace=replace, bar=bar).close()
    else:
        space.save(spec)
