"""Evaluation from Python.

import uwe_jax

found = uwe_jax.evaluate(["all-MiniLM-L6-v2", "bm25"], tasks=["job_to_skill", "skill_to_job"], data="downloads")
print(found["bm25", "job_to_skill"].metrics["map"])
frame = found.to_pandas()
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from uwe_jax.evaluation.evaluation import Evaluation
from uwe_jax.evaluation.given_models import given_models
from uwe_jax.evaluation.options import EvaluationOptions
from uwe_jax.runtime.compile_cache import keep_compiled_programs
from uwe_jax.runtime.errors import UserError


def evaluate(model: Any, tasks: Any = ("all",), *, out: str | Path | None = None, **options: Any) -> Evaluation:
    """Measures one model or several on ranking tasks, as `uwe-jax evaluate` does.

    Args:
      model: a model's name as of `--model`, a `Ranker` of `uwe_jax.load`, or any object with `name` and `index` (see
        `uwe_jax.evaluation.ranker`); or several of them, in a list or by the names that head their results.
      tasks: a task or several: names as of `--tasks`, folders, `ranking_task(...)` or a `RankingTask`.
      out: folder for results.json, results.md and results.png; None writes no files.
      options: those of `uwe-jax evaluate` by their names, such as data="downloads", max_queries=300, bootstrap=0; see
        `EvaluationOptions`.

    Returns:
      The results. A model that failed while others did not is among its `skipped`, with a warning.

    Raises:
      UserError: bad input, or nothing could be measured.
    """
    keep_compiled_programs()
    # Imported here: jax reads the compile cache's settings when it is imported.
    from uwe_jax.evaluation.run import evaluate as run

    chosen = EvaluationOptions.of(options)
    several = list(tasks) if isinstance(tasks, list | tuple) else [tasks]
    if not several:
        raise UserError("tasks names nothing. Give tasks, sets of tasks or folders.")
    found = run(chosen, given_models(model), several, None if out is None else Path(out).expanduser())
    if found.failure:
        if not len(found):
            raise UserError("; ".join(f"{what}: {reason}" for what, reason in found.failed))
        warnings.warn(found.failure, stacklevel=2)
    return found
