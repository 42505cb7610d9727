"""Writes a whole target space to a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from uwe_jax.retrieval.store.manifest import Manifest
from uwe_jax.retrieval.store.writing import creating

if TYPE_CHECKING:
    from uwe_jax.retrieval.store.stored_targets import Space


def write_space(folder: str | Path, space: Space, *, patience: float = 0) -> None:
    """Writes a space to a folder; see `Space.save`, and `changing` for `patience`."""
    with creating(folder, patience=patience) as writer:
        parts = [part for part in space.parts if len(part)]
        entries = (writer.add(parts),) if parts else ()
        writer.commit(Manifest(space.origin, space.dtype, space.width, space.pooled, entries))
