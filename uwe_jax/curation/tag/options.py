"""Options of a tagging."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from uwe_jax.sources.vacancies.files import VacancyColumns
from uwe_jax.sources.vacancies.job import CHUNK_ROWS, MAX_BROKEN
from uwe_jax.sources.vacancies.sentences import MAX_CHARACTERS, MIN_WORDS


@dataclass(frozen=True)
class TaggingOptions:
    """Vacancies, taxonomy, and how skills are found."""

    vacancies: Path  # a file, or a folder of files
    taxonomy: Path | None  # a file or a folder; None where every vacancy brings its skills
    out: Path  # folder that appears when the tagging is complete
    cache_dir: Path  # of encoders
    columns: VacancyColumns = field(default_factory=VacancyColumns)
    model: str = ""  # as of `load_ranker`; empty tags by name only
    threshold: float = 0.6  # least score of a skill by the model
    top_k: int = 5  # skills of a sentence by the model
    model_reads: str = "untagged"  # sentences for the model: untagged, or all
    aliases: bool = True  # look for the aliases of skills too
    language: str = "en"  # of the vacancies and of ESCO's labels
    esco_version: str = ""  # empty takes the newest in the folder
    min_words: int = MIN_WORDS  # of a sentence
    max_characters: int = MAX_CHARACTERS  # of a sentence
    max_tokens: int = 64  # of a text for an encoder
    max_broken: float = MAX_BROKEN  # share of rows that may be damaged
    processes: int = 0  # 0: one per core
    chunk_rows: int = CHUNK_ROWS  # rows that are tagged again after a kill, at most
    beam_runner: str = ""  # runner of Apache Beam that tags by name; empty does without Beam
    beam_options: tuple[str, ...] = ()  # of the runner
