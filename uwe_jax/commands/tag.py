"""`uwe-jax tag --vacancies ... --taxonomy ... --out ...`: tags a user's vacancies with skills, for training.

Without a flag it says how it is called.
"""

from __future__ import annotations

import os

if __name__ == "__main__":  # an importer's environment is its own
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # XLA's notes on how it compiles are not the user's concern

import sys
from collections.abc import Sequence
from pathlib import Path

from uwe_jax.curation.tag.options import TaggingOptions
from uwe_jax.curation.tag.run import tag

# Nothing that imports JAX: each process that tags imports this module first.
from uwe_jax.runtime.arguments import Parser, check_least
from uwe_jax.runtime.command import answer_errors
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import cache_folder
from uwe_jax.sources.vacancies.columns import VacancyColumns

_PROGRAM = "uwe-jax tag"
USAGE = """uwe-jax tag --vacancies FILE_OR_FOLDER --taxonomy FILE_OR_FOLDER --out FOLDER [--flag value ...]

Vacancies are CSV, TSV, JSON lines (each also gzipped) or Parquet with a title, a description and optionally skills.
The taxonomy is the folder of the ESCO zips, or a file of skills: label[,aliases][,id], or a .txt with one label a line.

Sentences are tagged with the skills that their row brings, then with those they name. A model can read the rest:
  uwe-jax tag --vacancies jobs.parquet --taxonomy downloads --out runs/tagged
  uwe-jax tag --vacancies jobs/ --taxonomy downloads --out runs/tagged --model runs/mine --threshold 0.6
  uwe-jax tag --vacancies jobs/ --taxonomy skills.csv --out runs/tagged --model all-MiniLM-L6-v2:soft

The folder is read by the source 'edges':
  uwe-jax train --config=configs/quickstart.py --config.source.source=edges --config.source.path=runs/tagged

--help lists all flags."""


def _parser() -> Parser:
    defaults = TaggingOptions(Path(), None, Path(), Path())
    parser = Parser.explained(USAGE)
    add = parser.add_argument
    add("--vacancies", type=Path, help="a file, or a folder of files")
    add("--taxonomy", type=Path, help="the folder of the ESCO zips, or a file of skills")
    add("--out", type=Path, help="folder of the edges; it appears when all is done")
    for role in ("title", "description", "skills", "id"):
        add(f"--{role}_column", default="", help=f"name of the column (default: one called {role} or alike)")
    add("--model", default="", help="a training run, an encoder or another ranker, as of uwe-jax evaluate")
    add(
        "--threshold",
        type=float,
        default=defaults.threshold,
        help=f"least score of a model's skill, on the scale of its scores (default: {defaults.threshold})",
    )
    add("--top_k", type=int, default=defaults.top_k, help=f"skills a model may give (default: {defaults.top_k})")
    add(
        "--model_reads",
        choices=("untagged", "all"),
        default=defaults.model_reads,
        help="sentences that the model reads: those that name no skill, or all (default: untagged)",
    )
    add(
        "--no_aliases",
        dest="aliases",
        action="store_false",
        help="look for the labels of skills alone in titles and sentences",
    )
    add("--language", default=defaults.language, help="of the vacancies and of ESCO's labels (default: en)")
    add("--esco_version", default="", help="such as 1.1.1 (default: the newest in the folder)")
    for name, what in (
        ("min_words", "of a sentence; shorter ones are left out"),
        ("max_characters", "of a sentence; longer ones are left out"),
        ("max_tokens", "of a text that an encoder reads"),
        ("processes", "that tag by name; 0 is one per core"),
        ("chunk_rows", "rows that a kill may cost each process"),
    ):
        add(f"--{name}", type=int, default=getattr(defaults, name), help=f"{what} (default: {getattr(defaults, name)})")
    add(
        "--max_broken",
        type=float,
        default=defaults.max_broken,
        help=f"share of rows that may be broken and are left out (default: {defaults.max_broken})",
    )
    add("--beam_runner", default="", help="tag by name on a runner of Apache Beam, such as DirectRunner")
    add("--beam_option", dest="beam_options", action="append", default=[], help="of the runner, as --beam_option=--x=y")
    add("--cache_dir", default="", help="encoders (default: $UWE_JAX_CACHE or the user's cache)")
    return parser


def _options(arguments: Sequence[str]) -> TaggingOptions:
    chosen = vars(_parser().parse_args(arguments))
    check_least(chosen, top_k=1, min_words=1, max_characters=1, max_tokens=3, processes=0, chunk_rows=1, max_broken=0)
    for flag in ("vacancies", "out"):
        if chosen[flag] is None:
            raise UserError(f"Command line: no --{flag}. `{_PROGRAM}` alone says how it is called.")
    columns = {role: chosen.pop(f"{role}_column") for role in ("title", "description", "skills", "id")}
    return TaggingOptions(
        **{
            **chosen,
            **{name: chosen[name].expanduser() for name in ("vacancies", "taxonomy", "out") if chosen[name]},
            "columns": VacancyColumns(**columns),
            "beam_options": tuple(chosen["beam_options"]),
            "cache_dir": cache_folder(chosen["cache_dir"]),
        }
    )


def main(arguments: Sequence[str]) -> None:
    """Tags as the command line says.

    Raises:
      UserError: for anything that the user can mend.
    """
    if not arguments:
        print(USAGE)
        return
    tag(_options(arguments))


if __name__ == "__main__":
    answer_errors(lambda: main(sys.argv[1:]), after_interrupt="The same command goes on from there.")
