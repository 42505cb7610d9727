"""`uwe-jax evaluate`: measures rankers on WorkBench's tasks and on tasks of one's own."""

from __future__ import annotations

from collections.abc import Sequence

from uwe_jax.evaluation.given_models import given_models
from uwe_jax.evaluation.options import EvaluationOptions
from uwe_jax.evaluation.specs import FORMS
from uwe_jax.evaluation.tasks.catalogue import CATALOGUE, SETS
from uwe_jax.runtime.command import entry_point
from uwe_jax.runtime.compile_cache import keep_compiled_programs
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.options import read_options
from uwe_jax.runtime.progress import report

_TASKS = "\n".join(f"  {name:<{max(map(len, CATALOGUE))}}  {spec.where}" for name, spec in CATALOGUE.items())
ABOUT = f"""Measures models and baselines on WorkBench's tasks and on tasks of your own.

{FORMS}

The best checkpoint beside the frozen encoder and a baseline, with the ESCO zips in downloads/:
  uwe-jax evaluate --model runs/mine --model all-MiniLM-L6-v2 --model bm25 --data downloads
  uwe-jax evaluate --model bm25 --data downloads --tasks job_to_skill,skill_to_job --max-queries 0
  uwe-jax evaluate --model bm25 --tasks path/to/mytask

A ranking that another system wrote, of a BEIR folder:
  uwe-jax evaluate --run other.trec --tasks path/to/beir

A folder of your own holds queries.csv and targets.csv (columns id, text) and relevant.csv (query_id, target_id)
with a column grade where relevance is graded, or is a BEIR folder: corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv.

Tasks, and where their data comes from:
{_TASKS}

Sets of tasks: {", ".join(SETS)}."""


def main(arguments: Sequence[str]) -> None:
    """Evaluates as the command line says."""
    options = read_options(
        EvaluationOptions,
        arguments,
        command="evaluate",
        about=ABOUT,
        renamed={"models": "model", "language": "languages"},
    )
    if not (options.model or options.run or options.save_tasks):
        raise UserError("--model is required, or --run or --save-tasks. Run `uwe-jax evaluate --help`.")
    keep_compiled_programs()
    # Imported here: jax reads the compile cache's settings when it is imported.
    from uwe_jax.evaluation.run import evaluate

    found = evaluate(options, given_models(list(options.model)), options.tasks, options.out)
    if len(found):
        report(f"\n{found!r}")
        report(f"\nWritten to {options.out}: results.json, results.md, results.png")
        report(f"Next: read {options.out / 'results.md'}, which has the intervals and more tables.")
    if found.failure:
        raise UserError(found.failure)


run = entry_point(
    main,
    after_full_disk="the results so far are in the lines above.",
    after_interrupt='The results so far are in results.json in the folder of --out, marked "complete": false.',
)
