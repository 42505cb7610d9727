"""Location of an index as users write it: its folder, or `qdrant:STORE#NAME` in Qdrant."""

from __future__ import annotations

from pathlib import Path

from uwe_jax.retrieval.qdrant.qdrant_space import QdrantIndex
from uwe_jax.retrieval.store.folder import load_index
from uwe_jax.retrieval.store.stored_targets import Index
from uwe_jax.runtime.errors import UserError

_SCHEME = "qdrant:"


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
    if not text.startswith(_SCHEME):
        return None
    store, _, name = text.removeprefix(_SCHEME).rpartition("#")
    if not store or not name:
        raise UserError(
            f"{text!r} does not name an index in Qdrant. Write {_SCHEME}STORE#NAME, where STORE is a folder or the URL "
            "of a server."
        )
    return store, name


def open_index(spec: str | Path, *, candidates: int | None = None) -> Index | QdrantIndex:
    """Opens the index in a folder or at `qdrant:STORE#NAME`, where `candidates` counts; see `QdrantIndex`.

    Raises:
      UserError: there is none, or it cannot be opened.
    """
    place = in_qdrant(spec)
    return QdrantIndex.open(*place, candidates=candidates) if place else load_index(spec)


def put_index(spec: str | Path, space: Index, *, replace: bool = False) -> None:
    """Saves an index to a folder, or uploads it to `qdrant:STORE#NAME`; `replace` also replaces another model's there.

    Raises:
      UserError: the place is taken or cannot be written.
    """
    if place := in_qdrant(spec):
        QdrantIndex.create(*place, space, replace=replace).close()
    else:
        space.save(spec)
