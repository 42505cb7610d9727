"""`uwe-jax calibrate`: fits probabilities to the scores of an index, or measures them."""

from __future__ import annotations

from collections.abc import Sequence

from uwe_jax.evaluation.calibrate.options import CalibrateOptions
from uwe_jax.runtime.command import entry_point
from uwe_jax.runtime.compile_cache import keep_compiled_programs
from uwe_jax.runtime.options import read_options

ABOUT = """Fits the probability that a hit is right to its score, for one index and one model.

Judgements come from a file of pairs, or from ranking tasks whose targets the index has:
  uwe-jax calibrate --index indexes/skills --pairs judged.csv
  uwe-jax calibrate --index indexes/skills --tasks skillskape,skill_extraction_tech --data downloads

The calibration is written into the folder of the index. Then hits have a probability, and thresholds apply:
  uwe-jax rank --index indexes/skills --min-probability 0.5 "qwertz asdf"
  uwe-jax tag --vacancies jobs/ --taxonomy downloads --model all-MiniLM-L6-v2:soft --calibration indexes/skills \\
      --precision 0.6 --out runs/tagged

On other queries than it was fitted on, it is measured:
  uwe-jax calibrate --index indexes/skills --evaluate --tasks skill_extraction_house --data downloads --precision 0.6

Sentences without a skill, such as those on benefits, are recognised by a filter, which `uwe-jax tag` uses:
  uwe-jax calibrate --sentences judged_sentences.csv --model runs/mine --out runs/mine_filter.json

Columns of judged.csv: query, target_id, and label, 1 for right and 0 for wrong. Without label all right targets of a
query are expected, and its other hits are wrong."""


def main(arguments: Sequence[str]) -> None:
    """Calibrates as the command line says."""
    options = read_options(CalibrateOptions, arguments, command="calibrate", about=ABOUT)
    keep_compiled_programs()
    # Imported here: jax reads the compile cache's settings when it is imported.
    from uwe_jax.evaluation.calibrate.run import calibrate

    calibrate(options)


run = entry_point(main, after_interrupt="A calibration that was there before is unchanged.")
