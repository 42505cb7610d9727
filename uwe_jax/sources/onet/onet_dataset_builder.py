"""O*NET as a TFDS dataset: one configuration per graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from uwe_jax.data.graph import Edge
from uwe_jax.sources.onet.reader import GRAPHS
from uwe_jax.sources.onet.release import WHERE, OnetRelease, find_release
from uwe_jax.sources.tfds_edges import EdgeBuilder, prepare_edges, read_notes, read_prepared


class Builder(EdgeBuilder):
    """Work activities, technologies and tools of O*NET with the occupations, titles and tasks they belong to."""

    # Raise it whenever the same files give other edges, or outdated prepared data would be read.
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=name) for name in GRAPHS]
    DEFAULT_BUILDER_CONFIG_NAME = "activity_job"
    MANUAL_DOWNLOAD_INSTRUCTIONS = f"Get it from {WHERE}"

    def __init__(self, *, release: OnetRelease | None = None, **kwargs: Any):
        """Takes the arguments of a TFDS builder, and the files to read; by default the newest in `manual_dir`."""
        self._release = release
        super().__init__(**kwargs)

    def read_edges(self, manual_dir: Path) -> list[Edge]:
        edges, notes = GRAPHS[self.builder_config.name].read(self._release or find_release(manual_dir))
        self.keep_notes(notes)
        return edges


def load_edges(release: OnetRelease, graph: str, data_dir: Path) -> tuple[list[Edge], tuple[str, ...]]:
    """Loads the edges of one graph, prepared on first use, and the notes of that preparation.

    Each release has its own folder in `data_dir`, named by version and content, so that edges prepared from other files
    are never read. Raises UserError as the readers of `graph` and `prepare_edges` do.
    """
    wanted = GRAPHS[graph]
    folder = data_dir / f"onet-{release.label}-{release.digest((*wanted.needs, *wanted.takes))}"
    builder = Builder(release=release, config=graph, data_dir=str(folder))
    prepare_edges(builder, release.path.parent)
    return read_prepared(builder), read_notes(builder)
