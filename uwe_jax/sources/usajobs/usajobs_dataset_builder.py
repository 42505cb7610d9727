"""Statements of questionnaires and job titles as a TFDS dataset."""

from __future__ import annotations

from pathlib import Path

import tensorflow_datasets as tfds

from uwe_jax.data.graph import Edge
from uwe_jax.sources.file_edges import FileEdgeBuilder
from uwe_jax.sources.usajobs.reader import DOWNLOAD, GRAPH, find_file, read_job_edges


class Builder(FileEdgeBuilder):
    """Duty statements of US federal vacancy questionnaires with the job titles they stand under."""

    # Raise it whenever the same file gives other edges, or prepared data would outlive the code that made it.
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=GRAPH)]
    MANUAL_DOWNLOAD_INSTRUCTIONS = DOWNLOAD

    def find_file(self, folder: Path) -> Path:
        return find_file(folder)

    def read_file(self, path: Path) -> tuple[list[Edge], list[str]]:
        return read_job_edges(path)
