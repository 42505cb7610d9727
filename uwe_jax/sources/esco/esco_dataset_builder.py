"""ESCO as a TFDS dataset: one configuration per graph, kind of relation and language."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from uwe_jax.data.graph import Edge
from uwe_jax.sources.esco.reader import (
    RELATIONS,
    read_alias_edges,
    read_description_edges,
    read_job_edges,
    read_skill_edges,
)
from uwe_jax.sources.esco.release import DOWNLOAD, NEEDS, EscoRelease, find_release
from uwe_jax.sources.tfds_edges import EdgeBuilder, prepare_edges, read_notes, read_prepared

# Codes of the portal's languages, as in its file names.
LANGUAGES = (
    *("ar", "bg", "cs", "da", "de", "el", "en", "es", "et", "fi", "fr", "ga", "hr", "hu"),
    *("is", "it", "lt", "lv", "mt", "nl", "no", "pl", "pt", "ro", "sk", "sl", "sv", "uk"),
)
_RELATED = {"skill_job": read_job_edges, "skill_skill": read_skill_edges}


@dataclasses.dataclass(eq=False)
class EscoConfig(tfds.core.BuilderConfig):
    """One graph of ESCO."""

    graph: str = "skill_job"  # of `NEEDS`
    relations: str = "both"  # of a graph of relations: essential, optional or both
    language: str = "en"


def _config(graph: str, relations: str, language: str) -> EscoConfig:
    """Returns the configuration named, for example, skill_job_en, skill_job_essential_en or skill_alias_de."""
    only = f"_{relations}" if graph in _RELATED and relations != "both" else ""
    return EscoConfig(name=f"{graph}{only}_{language}", graph=graph, relations=relations, language=language)


class Builder(EdgeBuilder):
    """Skills of ESCO with related occupations, labels, descriptions and skills, and occupations with their titles."""

    # Raise it whenever the same files give other edges, or outdated prepared data would be read.
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [
        _config(graph, relations, language)
        for language in LANGUAGES
        for graph in NEEDS
        for relations in (("both", *RELATIONS) if graph in _RELATED else ("both",))
    ]
    DEFAULT_BUILDER_CONFIG_NAME = "skill_job_en"
    MANUAL_DOWNLOAD_INSTRUCTIONS = DOWNLOAD

    def __init__(self, *, release: EscoRelease | None = None, **kwargs: Any):
        """Takes the arguments of a TFDS builder, and the files to read; by default the newest in `manual_dir`."""
        self._release = release
        super().__init__(**kwargs)

    def read_edges(self, manual_dir: Path) -> list[Edge]:
        config = self.builder_config
        release = self._release or find_release(manual_dir, (config.graph,), config.language)
        if config.graph in _RELATED:
            read = _RELATED[config.graph](release, config.relations)
        elif config.graph.endswith("_description"):
            read = read_description_edges(release, *NEEDS[config.graph])
        else:
            read = read_alias_edges(release, *NEEDS[config.graph])
        self.keep_notes(read.notes)
        return read.edges


def load_edges(release: EscoRelease, graph: str, relations: str, data_dir: Path) -> tuple[list[Edge], tuple[str, ...]]:
    """Loads the edges of one graph, prepared on first use, and the notes of that preparation.

    Each release has its own folder in `data_dir`, named by version and content, so that edges prepared from other files
    are never read. Raises UserError as the readers of `graph` and `prepare_edges` do.
    """
    config = _config(graph, relations, release.language)
    folder = data_dir / f"esco-{release.version or 'unknown'}-{release.digest(graph)}"
    # TFDS rejects a configuration of its own list that is an equal copy.
    config = Builder.builder_configs.get(config.name, config)
    builder = Builder(release=release, config=config, data_dir=str(folder))
    prepare_edges(builder, release.files[NEEDS[graph][0]].path.parent)
    return read_prepared(builder), read_notes(builder)
