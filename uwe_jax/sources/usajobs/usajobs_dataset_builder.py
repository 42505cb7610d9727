"""Statements of questionnaires and job titles as a TFDS dataset."""

from __future__ import annotations

import tensorflow_datasets as tfds

from uwe_jax.sources.file_edges import FileEdgeBuilder
from uwe_jax.sources.usajobs.reader import DOWNLOAD, GRAPH, find_file, read_job_edges


class Builder(FileEdgeBuilder):
    """Duty statements of US federal vacancy questionnaires with the job titles they belong to."""

    # Raise it whenever the same file gives other edges, or outdated prepared data would be read.
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=GRAPH)]
    MANUAL_DOWNLOAD_INSTRUCTIONS = DOWNLOAD

    find_file = staticmethod(find_file)
    read_file = staticmethod(read_job_edges)
