"""ESCO as a TFDS dataset: one configuration per graph, kind of relation and language."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from uwe_jax.base.progress import say
from uwe_jax.data.esco.reader import read_alias_edges, read_job_edges
from uwe_jax.data.esco.release import DOWNLOAD, EscoRelease, find_release
from uwe_jax.data.graph import Edge
from uwe_jax.data.tfds_edges import EdgeBuilder, prepare_edges, read_prepared

# Codes of the portal's languages, as its file names have them.
LANGUAGES = (
    *("ar", "bg", "cs", "da", "de", "el", "en", "es", "et", "fi", "fr", "ga", "hr", "hu"),
    *("is", "it", "lt", "lv", "mt", "nl", "no", "pl", "pt", "ro", "sk", "sl", "sv", "uk"),
)


@dataclasses.dataclass(eq=False)
class EscoConfig(tfds.core.BuilderConfig):
    """One graph of ESCO."""

    kind: str = "job"  # of the right side: job or alias
    relations: str = "both"  # of the skill-job graph: essential, optional or both
    language: str = "en"


def config_name(kind: str, relations: str, language: str) -> str:
    """For example skill_job_en, skill_job_essential_en, skill_alias_de."""
    only = f"_{relations}" if kind == "job" and relations != "both" else ""
    return f"skill_{kind}{only}_{language}"


def _configs(language: str) -> list[EscoConfig]:
    graphs = [("job", "both"), ("job", "essential"), ("job", "optional"), ("alias", "both")]
    return [
        EscoConfig(name=config_name(kind, relations, language), kind=kind, relations=relations, language=language)
        for kind, relations in graphs
    ]


class Builder(EdgeBuilder):
    """Skills of ESCO with the occupations that need them, or with their alternative labels."""

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
        release = self._release or find_release(manual_dir, (config.kind,), config.language)
        read = read_alias_edges(release) if config.kind == "alias" else read_job_edges(release, config.relations)
        for note in read.notes:
            say(f"{release}, {config.name}: {note}")
        return read.edges


def load_edges(release: EscoRelease, kind: str, relations: str, data_dir: Path) -> list[Edge]:
    """The edges of one graph, prepared on first use.

    Args:
      release: its files.
      kind: job or alias.
      relations: essential, optional or both.
      data_dir: of all prepared datasets. Each release's go into a folder named by version and content, so
        that edges prepared from other files are never read in their place.

    Raises:
      UserError: see `find_release`, `read_job_edges` and `prepare_edges`.
    """
    name = config_name(kind, relations, release.language)
    config = name if name in Builder.builder_configs else _config_of_other_language(kind, relations, release)
    folder = data_dir / f"esco-{release.version or 'unknown'}-{release.digest(kind)}"
    builder = Builder(release=release, config=config, data_dir=str(folder))
    prepare_edges(builder, release.files["skills"].path.parent)
    return read_prepared(builder)


def _config_of_other_language(kind: str, relations: str, release: EscoRelease) -> EscoConfig:
    name = config_name(kind, relations, release.language)
    return EscoConfig(name=name, kind=kind, relations=relations, language=release.language)
