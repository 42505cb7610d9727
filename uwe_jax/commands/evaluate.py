"""`uwe-jax evaluate`: measures rankers on WorkBench's tasks and on tasks of one's own."""

from __future__ import annotations

from collections.abc import Sequence

from uwe_jax.evaluation.run import EvaluationOptions, evaluate
from uwe_jax.evaluation.specs import FORMS
from uwe_jax.evaluation.tasks.catalogue import CATALOGUE, SETS
from uwe_jax.runtime.command import entry_point
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.options import read_options

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
    options = read_options(EvaluationOptions, arguments, command="evaluate", about=ABOUT, renamed={"models": "model"})
    if not (options.model or options.run or options.save_tasks):
        raise UserError("--model is required, or --run or --save-tasks. Run `uwe-jax evaluate --help`.")
    evaluate(options)


run = entry_point(
    main,
    after_full_disk="the results so far are in the lines above.",
    after_interrupt='The results so far are in results.json in the folder of --out, marked "complete": false.',
)
