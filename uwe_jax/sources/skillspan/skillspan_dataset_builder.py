"""SkillSpan's sentences as TFDS datasets: tagged by name, and with the spans that were marked in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from uwe_jax.data.graph import Edge
from uwe_jax.sources.skillspan.reader import DOWNLOAD, find_train, read_edges
from uwe_jax.sources.skillspan.spans import read_span_edges
from uwe_jax.sources.taxonomy import Taxonomy, read_taxonomy
from uwe_jax.sources.tfds_edges import EdgeBuilder

TAGGED, SPANS = "skill_vacancy", "span_vacancy"


class Builder(EdgeBuilder):
    """Real vacancy sentences with the skills of a taxonomy that they name, or with the spans marked in them."""

    # Raise it whenever the same files give other edges, or prepared data would outlive the code that made it.
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=name) for name in (TAGGED, SPANS)]
    MANUAL_DOWNLOAD_INSTRUCTIONS = DOWNLOAD

    def __init__(self, *, path: Path | None = None, taxonomy: Taxonomy | None = None, **kwargs: Any):
        """Takes what any TFDS builder takes, the file and the skills; without, those in `manual_dir`."""
        self._path, self._taxonomy = path, taxonomy
        super().__init__(**kwargs)

    def read_edges(self, manual_dir: Path) -> list[Edge]:
        path = self._path or find_train(manual_dir)
        if self.builder_config.name == SPANS:
            edges, notes = read_span_edges(path)
        else:
            edges, notes = read_edges(path, self._taxonomy or read_taxonomy(manual_dir))
        self.keep_notes(notes)
        return edges
