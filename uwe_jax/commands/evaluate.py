"""`uwe-jax evaluate`: measures rankers on WorkBench's tasks and on tasks of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from uwe_jax.evaluation.run import EvaluationOptions, evaluate
from uwe_jax.evaluation.tasks.catalogue import CATALOGUE, SETS
from uwe_jax.runtime.command import entry_point
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import cache_folder
from uwe_jax.runtime.folder_arguments import data_folders
from uwe_jax.runtime.options import FilePath, NameList, Repeated, RepeatedPath, at_least, read_options
from uwe_jax.scoring.ranking_metrics import DEFAULT_METRICS

_DEFAULTS = EvaluationOptions((), (), (), Path(), Path())
_TASKS = "\n".join(f"  {name:<{max(map(len, CATALOGUE))}}  {spec.where}" for name, spec in CATALOGUE.items())
ABOUT = f"""Measures models and baselines on WorkBench's tasks and on tasks of your own.

A model is
  runs/mine                        a training run: its best checkpoint
  all-MiniLM-L6-v2                 an encoder as published, a hub id or a folder, ranked by mean pooling
  all-MiniLM-L6-v2:soft            the same under another scorer: soft, max_sim, soft_pooled, mean_pool
  bm25, tfidf, tfidf_char, random  baselines that look at words alone, or at nothing
  package.module:name              a ranker of your own (see uwe_jax.evaluation.ranker)

The best checkpoint beside the frozen encoder and a baseline, with the ESCO zips in downloads/:
  uwe-jax evaluate --model runs/mine --model all-MiniLM-L6-v2 --model bm25 --data downloads
  uwe-jax evaluate --model bm25 --data downloads --tasks job_to_skill,skill_to_job --max-queries 0
  uwe-jax evaluate --model bm25 --tasks path/to/mytask     (queries.csv, targets.csv, relevant.csv)

Tasks, and where their data comes from:
{_TASKS}
Sets of tasks: {", ".join(SETS)}."""


@dataclass(frozen=True)
class Options:
    """Options of `uwe-jax evaluate`.

    Attributes:
      model: a model as above; may be repeated.
      data: a folder of downloads; may be repeated.
      tasks: tasks, sets of tasks or task folders.
      out: folder of the results.
      split: half of the tasks; any takes the test half where there is one, else the validation half.
      max_queries: queries per task, the same ones every time; 0 takes all.
      metrics: map, mrr, rp@k, ndcg@k, recall@k, hit@k for any k.
      max_tokens: tokens of a text that an encoder reads.
      bootstrap: resamples for the 95 % intervals; 0 computes none.
      esco_version: such as 1.1.1; by default the newest complete one in the folders.
      language: of ESCO's labels.
      strict: stop if the data of a task is missing, instead of skipping the task.
      offline: never ask the Hugging Face hub.
      drop_leaks: leave out queries that are in the training graphs of a model.
      dump_rankings: write this many of the worst queries of every task with what was ranked above the right answer.
      join: folder of an earlier evaluation whose models join the tables; may be repeated.
      cache_dir: folder of prepared data and encoders; by default $UWE_JAX_CACHE or the user's cache folder.
    """

    model: Repeated = ()
    data: Repeated = ()
    tasks: NameList = ("all",)
    out: FilePath = Path("runs/evaluation")
    split: Literal["any", "test", "validation"] = "any"
    max_queries: int = _DEFAULTS.max_queries
    metrics: NameList = DEFAULT_METRICS
    max_tokens: int = _DEFAULTS.max_tokens
    bootstrap: int = _DEFAULTS.bootstrap
    esco_version: str = ""
    language: str = "en"
    strict: bool = False
    offline: bool = False
    drop_leaks: bool = False
    dump_rankings: int = 0
    join: RepeatedPath = ()
    cache_dir: str = ""

    def __post_init__(self) -> None:
        at_least(0, max_queries=self.max_queries, bootstrap=self.bootstrap, dump_rankings=self.dump_rankings)
        at_least(3, max_tokens=self.max_tokens)
        if not self.tasks:
            raise UserError("--tasks is empty. Give tasks, sets of tasks or folders, separated by commas.")


def main(arguments: Sequence[str]) -> None:
    """Evaluates as the command line says."""
    options = read_options(Options, arguments, command="evaluate", about=ABOUT, renamed={"models": "model"})
    if not options.model:
        raise UserError("--model is required. Run `uwe-jax evaluate --help`.")
    chosen = dict(vars(options))
    models = chosen.pop("model")
    folders = {"data": data_folders(options.data), "cache_dir": cache_folder(options.cache_dir)}
    evaluate(EvaluationOptions(**{**chosen, **folders, "models": models}))


run = entry_point(
    main,
    after_full_disk="the results so far are in the lines above.",
    after_interrupt='The results so far are in results.json in the folder of --out, marked "complete": false.',
)
