"""SkillSpan's sentences as TFDS datasets: tagged by name, and with their annotated spans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from uwe_jax.data.graph import Edge
from uwe_jax.sources.skillspan.reader import DOWNLOAD, SPANS, TAGGED, find_train, read_span_edges, read_tagged_edges
from uwe_jax.sources.taxonomy import Taxonomy, read_taxonomy
from uwe_jax.sources.tfds_edges import EdgeBuilder


class Builder(EdgeBuilder):
    """Real vacancy sentences with the skills of a taxonomy that they name, or with their annotated spans."""

    # Raise it whenever the same files give other edges, or outdated prepared data would be read.
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=name) for name in (TAGGED, SPANS)]
    MANUAL_DOWNLOAD_INSTRUCTIONS = DOWNLOAD

    def __init__(self, *, path: Path | None = None, taxonomy: Taxonomy | None = None, **kwargs: Any):
        """Takes the arguments of a TFDS builder, the file and the skills; by default those in `manual_dir`."""
        self._path, self._taxonomy = path, taxonomy
        super().__init__(**kwargs)

    def read_edges(self, manual_dir: Path) -> list[Edge]:
        path = self._path or find_train(manual_dir)
        if self.builder_config.name == SPANS:
            edges, notes = read_span_edges(path)
        else:
            edges, notes = read_tagged_edges(path, self._taxonomy or read_taxonomy(manual_dir))
        self.keep_notes(notes)
        return edges
