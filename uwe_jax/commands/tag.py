"""`uwe-jax tag`: finds skills in vacancies, as graphs to train on."""

from __future__ import annotations

from collections.abc import Sequence

from uwe_jax.curation.tag.run import TaggingOptions, tag
from uwe_jax.runtime.command import entry_point
from uwe_jax.runtime.options import read_options

ABOUT = """Finds skills in your own vacancies, as graphs to train on.

Vacancies are tables with a title, a description and optionally skills. The taxonomy is the folder of the ESCO zips,
or a file of skills: label[,aliases][,id], or a .txt with one label per line. Sentences are tagged with the skills
that their row brings, then with those they name. A model can read the rest:
  uwe-jax tag --vacancies jobs.parquet --taxonomy downloads --out runs/tagged
  uwe-jax tag --vacancies jobs/ --taxonomy downloads --out runs/tagged --model runs/mine --threshold 0.6
  uwe-jax tag --vacancies jobs/ --taxonomy skills.csv --out runs/tagged --model all-MiniLM-L6-v2:soft

A model's skills reach a score, --threshold, or a precision, by a calibration:
  uwe-jax tag --vacancies jobs/ --taxonomy downloads --out runs/tagged --model uwe-minilm --precision 0.6

The folder is read by the source 'edges':
  uwe-jax train --config=quickstart --config.source.source=edges --config.source.path=runs/tagged"""


def main(arguments: Sequence[str]) -> None:
    """Tags as the command line says."""
    tag(read_options(TaggingOptions, arguments, command="tag", about=ABOUT))


run = entry_point(main, after_interrupt="Re-run the same command to resume.")
