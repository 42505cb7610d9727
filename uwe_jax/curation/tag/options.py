"""What the command line asks of a tagging."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from uwe_jax.sources.vacancies.columns import VacancyColumns
from uwe_jax.sources.vacancies.job import CHUNK_ROWS, MAX_BROKEN
from uwe_jax.sources.vacancies.sentences import MAX_CHARACTERS, MIN_WORDS


@dataclass(frozen=True)
class TaggingOptions:
    """Vacancies, skills, and how the ones come to the others.

    Attributes:
      vacancies: a file, or a folder of files.
      taxonomy: a file or a folder; None where every vacancy brings its skills.
      out: folder that appears when all is done.
      cache_dir: where encoders from wheels are kept.
      columns: of the vacancies.
      model: as of `load_ranker`; empty tags by name alone.
      threshold: least score at which a model's skill is taken.
      top_k: skills of a sentence that a model may give.
      model_reads: sentences that a model reads: untagged, or all.
      aliases: look for the other names of skills too.
      language: of the vacancies and of ESCO's labels.
      esco_version: empty takes the newest there is.
      min_words, max_characters: of a sentence.
      max_tokens: of a text that an encoder reads.
      max_broken: share of rows that may be broken.
      processes: 0 takes one per core.
      chunk_rows: rows between one point of resuming and the next.
      beam_runner: tags by name on this runner of Apache Beam; empty does without Beam.
      beam_options: of the runner.
    """

    vacancies: Path
    taxonomy: Path | None
    out: Path
    cache_dir: Path
    columns: VacancyColumns = field(default_factory=VacancyColumns)
    model: str = ""
    threshold: float = 0.6
    top_k: int = 5
    model_reads: str = "untagged"
    aliases: bool = True
    language: str = "en"
    esco_version: str = ""
    min_words: int = MIN_WORDS
    max_characters: int = MAX_CHARACTERS
    max_tokens: int = 64
    max_broken: float = MAX_BROKEN
    processes: int = 0
    chunk_rows: int = CHUNK_ROWS
    beam_runner: str = ""
    beam_options: tuple[str, ...] = ()
