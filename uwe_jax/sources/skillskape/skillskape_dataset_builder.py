"""SkillSkape's sentences for training as a TFDS dataset."""

from __future__ import annotations

from pathlib import Path

import tensorflow_datasets as tfds

from uwe_jax.data.graph import Edge
from uwe_jax.sources.file_edges import FileEdgeBuilder
from uwe_jax.sources.skillskape.reader import DOWNLOAD, GRAPH, find_train, read_vacancy_edges


class Builder(FileEdgeBuilder):
    """Skills of ESCO with synthetic vacancy sentences that ask for them."""

    # Raise it whenever the same file gives other edges, or prepared data would outlive the code that made it.
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=GRAPH)]
    MANUAL_DOWNLOAD_INSTRUCTIONS = DOWNLOAD

    def find_file(self, folder: Path) -> Path:
        return find_train(folder)

    def read_file(self, path: Path) -> tuple[list[Edge], list[str]]:
        return read_vacancy_edges(path)
