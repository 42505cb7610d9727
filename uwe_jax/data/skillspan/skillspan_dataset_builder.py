"""SkillSpan's sentences, tagged by name, as a TFDS dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from uwe_jax.data.graph import Edge
from uwe_jax.data.skillspan.reader import DOWNLOAD, find_train, read_edges
from uwe_jax.data.taxonomy import Taxonomy, read_taxonomy
from uwe_jax.data.tfds_edges import EdgeBuilder

GRAPH = "skill_vacancy"


class Builder(EdgeBuilder):
    """Skills of a taxonomy with real vacancy sentences that name them."""

    # Raise it whenever the same files give other edges, or prepared data would outlive the code that made it.
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=GRAPH)]
    MANUAL_DOWNLOAD_INSTRUCTIONS = DOWNLOAD

    def __init__(self, *, path: Path | None = None, taxonomy: Taxonomy | None = None, **kwargs: Any):
        """Takes what any TFDS builder takes, the file and the skills; without, those in `manual_dir`."""
        self._path, self._taxonomy = path, taxonomy
        super().__init__(**kwargs)

    def read_edges(self, manual_dir: Path) -> list[Edge]:
        taxonomy = self._taxonomy or read_taxonomy(manual_dir)
        edges, notes = read_edges(self._path or find_train(manual_dir), taxonomy)
        self.keep_notes(notes)
        return edges
