"""`uwe-jax evaluate --models ... --data ...`: how well rankers rank on WorkBench's tasks and on one's own.

Without a model it says how it is called.
"""

from __future__ import annotations

import os

from uwe_jax.runtime.huge_pages import restart_with_huge_pages

if __name__ == "__main__":
    restart_with_huge_pages()  # as train does; before the imports that take seconds
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # XLA's notes on how it compiles are not the user's concern

import sys
from collections.abc import Sequence
from pathlib import Path

from uwe_jax.evaluation.run import EvaluationOptions, evaluate
from uwe_jax.evaluation.tasks.catalogue import CATALOGUE, SETS
from uwe_jax.runtime.arguments import Parser, check_least, data_folders, names, some_names
from uwe_jax.runtime.command import answer_errors
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import cache_folder

_PROGRAM = "uwe-jax evaluate"
USAGE = """uwe-jax evaluate --models MODEL [--models MODEL ...] --data FOLDER [--flag value ...]

A model is
  runs/mine                        the folder of a training run: its best checkpoint
  all-MiniLM-L6-v2                 an encoder as published, a hub id or a folder, ranked by mean pooling
  all-MiniLM-L6-v2:soft            the same under another scorer: soft, max_sim, soft_pooled, mean_pool
  bm25, tfidf, tfidf_char, random  rankers that look at words alone, or at nothing
  package.module:name              a ranker of your own (see uwe_jax.evaluation.ranker)

For example, the best checkpoint beside the frozen encoder and a lexical baseline, with the ESCO zips in downloads/:
  uwe-jax evaluate --models runs/mine --models all-MiniLM-L6-v2 --models bm25 --data downloads
  uwe-jax evaluate --models bm25 --data downloads --tasks job_to_skill,skill_to_job --max_queries 0
  uwe-jax evaluate --models bm25 --tasks path/to/mytask     (queries.csv, targets.csv, relevant.csv)

--help lists all flags and tasks."""


def _parser() -> Parser:
    defaults = EvaluationOptions((), (), (), Path(), Path())
    tasks = "\n".join(f"  {name:<{max(map(len, CATALOGUE))}}  {spec.where}" for name, spec in CATALOGUE.items())
    parser = Parser.explained(
        f"{USAGE}\n\nTasks, and where their data comes from:\n{tasks}\nSets of tasks: {', '.join(SETS)}."
    )
    add = parser.add_argument
    add("--models", action="append", default=[], help="a model as above; repeat the flag for several")
    add("--data", action="append", default=[], help="a folder that holds downloads; repeat the flag for several")
    add("--tasks", type=some_names, default=("all",), help="tasks, sets of tasks or folders (default: all)")
    add("--out", type=Path, default=Path("runs/evaluation"), help="folder of the results (default: runs/evaluation)")
    add(
        "--split",
        choices=("any", "test", "validation"),
        default=defaults.split,
        help="any: test where there is one, else validation (default: any)",
    )
    add(
        "--max_queries",
        type=int,
        default=defaults.max_queries,
        help=f"queries of a task, the same ones every time; 0 takes all (default: {defaults.max_queries})",
    )
    add(
        "--metrics",
        type=names,
        default=defaults.metrics,
        help=f"map, mrr, rp@k, ndcg@k, recall@k, hit@k for any k (default: {','.join(defaults.metrics)})",
    )
    add(
        "--max_tokens",
        type=int,
        default=defaults.max_tokens,
        help=f"tokens of a text that an encoder reads (default: {defaults.max_tokens})",
    )
    add(
        "--bootstrap",
        type=int,
        default=defaults.bootstrap,
        help=f"resamples for the 95 %% intervals; 0 makes none (default: {defaults.bootstrap})",
    )
    add("--esco_version", default="", help="such as 1.1.1 (default: the newest complete one in the folders)")
    add("--language", default="en", help="of ESCO's labels (default: en)")
    add("--strict", action="store_true", help="stop where a task's data is not there, instead of skipping it")
    add("--offline", action="store_true", help="never ask the Hugging Face hub")
    add("--drop_leaks", action="store_true", help="leave out queries that stand in a model's training graphs")
    add(
        "--dump_rankings",
        type=int,
        nargs="?",
        const=50,
        default=0,
        metavar="N",
        help="write the N (50) worst queries of every task with what was ranked above the right answer",
    )
    add("--join", action="append", default=[], help="folder of an earlier evaluation whose models join the tables")
    add("--cache_dir", default="", help="prepared data and encoders (default: $UWE_JAX_CACHE or the user's cache)")
    return parser


def _options(arguments: Sequence[str]) -> EvaluationOptions:
    chosen = vars(_parser().parse_args(arguments))
    check_least(chosen, max_queries=0, max_tokens=3, bootstrap=0, dump_rankings=0)
    if not chosen["models"]:
        raise UserError(f"Command line: no --models. `{_PROGRAM}` alone says what a model is.")
    return EvaluationOptions(
        **{
            **chosen,
            "models": tuple(chosen["models"]),
            "data": data_folders(chosen["data"]),
            "out": chosen["out"].expanduser(),
            "join": tuple(Path(path).expanduser() for path in chosen["join"]),
            "cache_dir": cache_folder(chosen["cache_dir"]),
        }
    )


def main(arguments: Sequence[str]) -> None:
    """Evaluates as the command line says.

    Raises:
      UserError: for anything that the user can mend.
    """
    if not arguments:
        print(USAGE)
        return
    evaluate(_options(arguments))


if __name__ == "__main__":
    answer_errors(
        lambda: main(sys.argv[1:]),
        after_full_disk="the table of what was measured is in the lines above.",
        after_interrupt='What was measured is in results.json in the folder of --out, which says "complete": false.',
    )
