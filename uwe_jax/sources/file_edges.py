"""Edges of a source that is one file without a version: prepared once for each content of it."""

from __future__ import annotations

import abc
import hashlib
from pathlib import Path
from typing import Any

from uwe_jax.data.graph import Edge
from uwe_jax.sources.tfds_edges import EdgeBuilder, prepare_edges, read_notes, read_prepared


class FileEdgeBuilder(EdgeBuilder, skip_registration=True):  # type: ignore[call-arg]
    """A TFDS builder whose edges are in one file of the user."""

    def __init__(self, *, path: Path | None = None, **kwargs: Any):
        """Takes the arguments of a TFDS builder, and the file to read; by default the one in `manual_dir`."""
        self._path = path
        super().__init__(**kwargs)

    @abc.abstractmethod
    def find_file(self, folder: Path) -> Path:
        """Returns the file in a folder of the user; UserError if there is none."""

    @abc.abstractmethod
    def read_file(self, path: Path) -> tuple[list[Edge], list[str]]:
        """Returns its edges, and phrases on what was left out."""

    def read_edges(self, manual_dir: Path) -> list[Edge]:
        edges, notes = self.read_file(self._path or self.find_file(manual_dir))
        self.keep_notes(notes)
        return edges


def load_file_edges(
    kind: type[FileEdgeBuilder], path: Path, graph: str, cache_dir: Path
) -> tuple[list[Edge], tuple[str, ...]]:
    """Returns the edges of a graph of a file, prepared on first use in `cache_dir`, and the notes of that preparation.

    Each content of the file is prepared in a folder of its own.

    Raises:
      UserError: the file is broken, or see `prepare`.
    """
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    folder = cache_dir / "tfds" / f"{kind.name}-unknown-{digest}"
    builder = kind(path=path, config=graph, data_dir=str(folder))
    prepare_edges(builder, path.parent)
    return read_prepared(builder), read_notes(builder)
