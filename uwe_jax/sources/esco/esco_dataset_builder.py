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
    read_job_description_edges,
    read_job_edges,
    read_skill_edges,
    read_title_edges,
)
from uwe_jax.sources.esco.release import DOWNLOAD, NEEDS, EscoRelease, find_release
from uwe_jax.sources.tfds_edges import EdgeBuilder, prepare_edges, read_notes, read_prepared

# Codes of the portal's languages, as its file names have them.
LANGUAGES = (
    *("ar", "bg", "cs", "da", "de", "el", "en", "es", "et", "fi", "fr", "ga", "hr", "hu"),
    *("is", "it", "lt", "lv", "mt", "nl", "no", "pl", "pt", "ro", "sk", "sl", "sv", "uk"),
)

# Readers of the graphs: of those whose edges are essential or optional, and of the others.
_RELATED = {"skill_job": read_job_edges, "skill_skill": read_skill_edges}
_READ = {
    "skill_alias": read_alias_edges,
    "job_title": read_title_edges,
    "job_alias": read_title_edges,
    "skill_description": read_description_edges,
    "job_description": read_job_description_edges,
}


@dataclasses.dataclass(eq=False)
class EscoConfig(tfds.core.BuilderConfig):
    """One graph of ESCO."""

    graph: str = "skill_job"  # of `NEEDS`
    relations: str = "both"  # of a graph of relations: essential, optional or both
    language: str = "en"


def config_name(graph: str, relations: str, language: str) -> str:
    """For example skill_job_en, skill_job_essential_en, skill_alias_de."""
    only = f"_{relations}" if graph in _RELATED and relations != "both" else ""
    return f"{graph}{only}_{language}"


def _config(graph: str, relations: str, language: str) -> EscoConfig:
    return EscoConfig(name=config_name(graph, relations, language), graph=graph, relations=relations, language=language)


def _configs(language: str) -> list[EscoConfig]:
    graphs = [(graph, "both") for graph in NEEDS] + [(graph, relation) for graph in _RELATED for relation in RELATIONS]
    return [_config(graph, relations, language) for graph, relations in graphs]


class Builder(EdgeBuilder):
    """Skills of ESCO with the occupations, labels, descriptions and skills they belong to, and occupations' titles."""

    # Raise it whenever the same files give other edges, or prepared data would outlive the code that made it.
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [config for language in LANGUAGES for config in _configs(language)]
    DEFAULT_BUILDER_CONFIG_NAME = "skill_job_en"
    MANUAL_DOWNLOAD_INSTRUCTIONS = DOWNLOAD

    def __init__(self, *, release: EscoRelease | None = None, **kwargs: Any):
        """Takes what any TFDS builder takes, and the files to read; without, the newest in `manual_dir`."""
        self._release = release
        super().__init__(**kwargs)

    def read_edges(self, manual_dir: Path) -> list[Edge]:
        config = self.builder_config
        release = self._release or find_release(manual_dir, (config.graph,), config.language)
        read = (
            _RELATED[config.graph](release, config.relations)
            if config.graph in _RELATED
            else _READ[config.graph](release)
        )
        self.keep_notes(read.notes)
        return read.edges


def load_edges(release: EscoRelease, graph: str, relations: str, data_dir: Path) -> tuple[list[Edge], tuple[str, ...]]:
    """The edges of one graph, prepared on first use, and the notes of that preparation.

    Args:
      release: its files.
      graph: of `NEEDS`.
      relations: essential, optional or both; of no matter to a graph that is not of relations.
      data_dir: of all prepared datasets. Each release's go into a folder named by version and content, so
        that edges prepared from other files are never read in their place.

    Raises:
      UserError: see `find_release`, `read_job_edges` and `prepare_edges`.
    """
    name = config_name(graph, relations, release.language)
    config = name if name in Builder.builder_configs else _config(graph, relations, release.language)
    folder = data_dir / f"esco-{release.version or 'unknown'}-{release.digest(graph)}"
    builder = Builder(release=release, config=config, data_dir=str(folder))
    prepare_edges(builder, release.files[NEEDS[graph][0]].path.parent)
    return read_prepared(builder), read_notes(builder)
