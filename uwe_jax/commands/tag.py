"""`uwe-jax tag`: finds skills in vacancies, as graphs to train on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from uwe_jax.curation.tag.options import TaggingOptions
from uwe_jax.curation.tag.run import tag

# Nothing that imports JAX: each process that tags imports this module first.
from uwe_jax.runtime.command import entry_point
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import cache_folder
from uwe_jax.runtime.options import OptionalPath, Repeated, at_least, read_options
from uwe_jax.sources.vacancies.files import VacancyColumns

ABOUT = """Finds skills in your own vacancies, as graphs to train on.

Vacancies are tables with a title, a description and optionally skills. The taxonomy is the folder of the ESCO zips,
or a file of skills: label[,aliases][,id], or a .txt with one label per line. Sentences are tagged with the skills
that their row brings, then with those they name. A model can read the rest:
  uwe-jax tag --vacancies jobs.parquet --taxonomy downloads --out runs/tagged
  uwe-jax tag --vacancies jobs/ --taxonomy downloads --out runs/tagged --model runs/mine --threshold 0.6
  uwe-jax tag --vacancies jobs/ --taxonomy skills.csv --out runs/tagged --model all-MiniLM-L6-v2:soft

The folder is read by the source 'edges':
  uwe-jax train --config=quickstart --config.source.source=edges --config.source.path=runs/tagged"""
_DEFAULTS = TaggingOptions(Path(), None, Path(), Path())


@dataclass(frozen=True)
class Options:
    """Options of `uwe-jax tag`.

    Attributes:
      vacancies: a file, or a folder of files.
      taxonomy: the folder of the ESCO zips, or a file of skills; not needed where every vacancy brings its skills.
      out: folder of the edges; it appears when all is done.
      title_column: column of the titles; by default one called title or alike.
      description_column: column of the descriptions; by default one called description or alike.
      skills_column: column of given skills; by default one called skills or alike.
      id_column: column of the ids; by default one called id or alike.
      model: a run, an encoder or another ranker, as of `uwe-jax evaluate`.
      threshold: least score of a skill that a model gives, on the scale of its scores.
      top_k: skills that a model may give to a sentence.
      model_reads: sentences that the model reads: those that name no skill, or all.
      aliases: look for the other names of skills too, not only for their labels.
      language: of the vacancies and of ESCO's labels.
      esco_version: such as 1.1.1; by default the newest in the folder.
      min_words: shorter sentences are left out.
      max_characters: longer sentences are left out.
      max_tokens: of a text that an encoder reads.
      max_broken: share of rows that may be broken and are left out.
      processes: processes that tag by name; 0 is one per core.
      chunk_rows: rows that a kill may cost each process.
      beam_runner: tag by name on this runner of Apache Beam, such as DirectRunner.
      beam_option: option of the runner, as --beam-option=--x=y; may be repeated.
      cache_dir: folder of encoders; by default $UWE_JAX_CACHE or the user's cache folder.
    """

    vacancies: OptionalPath = None
    taxonomy: OptionalPath = None
    out: OptionalPath = None
    title_column: str = ""
    description_column: str = ""
    skills_column: str = ""
    id_column: str = ""
    model: str = ""
    threshold: float = _DEFAULTS.threshold
    top_k: int = _DEFAULTS.top_k
    model_reads: Literal["untagged", "all"] = "untagged"
    aliases: bool = True
    language: str = _DEFAULTS.language
    esco_version: str = ""
    min_words: int = _DEFAULTS.min_words
    max_characters: int = _DEFAULTS.max_characters
    max_tokens: int = _DEFAULTS.max_tokens
    max_broken: float = _DEFAULTS.max_broken
    processes: int = _DEFAULTS.processes
    chunk_rows: int = _DEFAULTS.chunk_rows
    beam_runner: str = ""
    beam_options: Annotated[Repeated, tyro.conf.arg(name="beam-option")] = ()
    cache_dir: str = ""

    def __post_init__(self) -> None:
        least = {"top_k": 1, "min_words": 1, "max_characters": 1, "max_tokens": 3, "chunk_rows": 1}
        for name, value in {**least, "processes": 0, "max_broken": 0}.items():
            at_least(value, **{name: getattr(self, name)})
        for name in ("vacancies", "out"):
            if getattr(self, name) is None:
                raise UserError(f"--{name} is required. Run `uwe-jax tag --help`.")


def main(arguments: Sequence[str]) -> None:
    """Tags as the command line says."""
    chosen = dict(vars(read_options(Options, arguments, command="tag", about=ABOUT)))
    columns = {role: chosen.pop(f"{role}_column") for role in ("title", "description", "skills", "id")}
    tag(
        TaggingOptions(
            **{**chosen, "columns": VacancyColumns(**columns), "cache_dir": cache_folder(chosen["cache_dir"])}
        )
    )


run = entry_point(main, after_interrupt="Re-run the same command to resume.")
