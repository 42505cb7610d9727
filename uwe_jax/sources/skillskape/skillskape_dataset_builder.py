"""SkillSkape's sentences for training as a TFDS dataset."""

from __future__ import annotations

import tensorflow_datasets as tfds

from uwe_jax.sources.file_edges import FileEdgeBuilder
from uwe_jax.sources.skillskape.reader import DOWNLOAD, GRAPH, find_train, read_vacancy_edges


class Builder(FileEdgeBuilder):
    """Skills of ESCO with synthetic vacancy sentences that ask for them."""

    # Raise it whenever the same file gives other edges, or outdated prepared data would be read.
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=GRAPH)]
    MANUAL_DOWNLOAD_INSTRUCTIONS = DOWNLOAD

    find_file = staticmethod(find_train)
    read_file = staticmethod(read_vacancy_edges)
