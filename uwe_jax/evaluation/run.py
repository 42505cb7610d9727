"""The evaluation from its tasks to its report."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uwe_jax
from uwe_jax.base.errors import UserError
from uwe_jax.base.files import write_atomically, write_json
from uwe_jax.base.progress import duration, report, say
from uwe_jax.base.ranking_metrics import DEFAULT_METRICS, check_metric_names
from uwe_jax.data.footprint import Footprint
from uwe_jax.data.tasks.catalogue import choose, load_tasks
from uwe_jax.data.tasks.spec import TaskSources
from uwe_jax.data.tasks.task import RankingTask
from uwe_jax.evaluation.aggregate import Results, group_means, macro_average
from uwe_jax.evaluation.error_analysis import dump_rankings
from uwe_jax.evaluation.join import join_models, read_results
from uwe_jax.evaluation.leakage import leakage, without_leaks
from uwe_jax.evaluation.measure import measure, summarise
from uwe_jax.evaluation.ranker import Ranker
from uwe_jax.evaluation.specs import load_ranker
from uwe_jax.training.workdir import TRAINED_ON


@dataclass(frozen=True)
class EvaluationOptions:
    """What is measured on what. The fields are the flags of `python -m uwe_jax.evaluate`."""

    models: tuple[str, ...]
    tasks: tuple[str, ...]
    data: tuple[Path, ...]
    out: Path
    cache_dir: Path
    split: str = "any"
    max_queries: int = 4000
    metrics: tuple[str, ...] = DEFAULT_METRICS
    max_tokens: int = 64
    bootstrap: int = 1000
    esco_version: str = ""
    language: str = "en"
    offline: bool = False
    strict: bool = False
    drop_leaks: bool = False
    dump_rankings: int = 0
    join: tuple[Path, ...] = ()


def trained_on(spec: str) -> Footprint | None:
    """The footprint of a training run's folder; None for any other ranker, of which no training data is known."""
    folder = Path(spec)
    if not (folder / "checkpoints").is_dir():
        return None
    footprint = Footprint.read(folder / TRAINED_ON)
    if footprint is None:
        say(
            f"{folder} does not know what it was trained on ({TRAINED_ON} is missing, as in runs of older versions): "
            "its leakage is not reported. Run its training command once more; a finished run only adds that file."
        )
    return footprint


def prepare_tasks(options: EvaluationOptions, footprints: Sequence[Footprint]) -> tuple[list[RankingTask], list[dict]]:
    """The tasks that there is data for, and those that are skipped with the reason.

    Raises:
      UserError: a task is skipped under `strict`, or nothing is left.
    """
    sources = TaskSources(options.data, options.cache_dir, options.esco_version, options.language, options.offline)
    tasks, missing = load_tasks(choose(options.tasks), sources, options.split)
    skipped = [{"task": each.name, "reason": each.reason} for each in missing]
    kept = []
    for task in tasks:
        try:
            if options.drop_leaks:
                task = without_leaks(task, footprints)
        except UserError as error:
            skipped.append({"task": task.name, "reason": str(error)})
            continue
        kept.append(task.sample(options.max_queries))
    for each in skipped:
        say(f"Skipped {each['task']}: {each['reason']}")
    if skipped and options.strict:
        raise UserError(
            f"{len(skipped)} of {len(tasks) + len(missing)} tasks cannot be measured and --strict is set: "
            f"{', '.join(each['task'] for each in skipped)}. The lines above say where to get their data."
        )
    if not kept:
        raise UserError(
            f"None of the {len(skipped)} tasks that were asked for can be measured; the lines above say why. Give the "
            "folders that hold their data: --data FOLDER."
        )
    return kept, skipped


def describe_task(task: RankingTask) -> dict[str, Any]:
    """A task as results.json has it."""
    return {
        "title": task.title,
        "group": task.group,
        "split": task.split,
        "origin": task.origin,
        "queries": len(task.queries),
        "targets": len(task.targets),
        "edges": int(task.relevant.nnz),
        "notes": list(task.notes),
    }


def folder_name(name: str) -> str:
    """A model's name as a folder.

    >>> folder_name("all-MiniLM-L6-v2 soft")
    'all-MiniLM-L6-v2_soft'
    """
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "model"


def evaluate(options: EvaluationOptions) -> Results:
    """Measures every model on every task, and writes results.json, results.md and results.png.

    What was measured is written after every task. A ranker that fails on a task loses that task alone.

    Returns:
      What results.json holds.

    Raises:
      UserError: for what the user can mend; at the end as well, if a ranker failed on a task.
    """
    # Imported here: drawing and tables are not needed before there is something to show.
    from uwe_jax.evaluation.markdown_report import markdown
    from uwe_jax.evaluation.plots import plot
    from uwe_jax.evaluation.terminal import task_line, terminal_table

    check_metric_names(options.metrics)
    earlier = [(path, read_results(path)) for path in options.join]
    started = time.perf_counter()
    footprints = {spec: trained_on(spec) for spec in options.models}
    tasks, skipped = prepare_tasks(options, [each for each in footprints.values() if each])
    queries = sum(len(task.queries) for task in tasks)
    took = duration(time.perf_counter() - started)
    say(f"{len(tasks)} tasks with {queries:,} queries, read in {took}; {len(options.models)} models to measure.")
    results: Results = {
        "version": uwe_jax.__version__,
        "settings": _settings(options),
        "tasks": {task.name: describe_task(task) for task in tasks},
        "skipped": skipped,
        "models": {},
    }
    for path, other in earlier:
        say(f"Joined from {path}: {', '.join(join_models(results, other, path)) or 'nothing'}")
    failures: list[str] = []
    for spec in options.models:
        ranker = load_ranker(spec, cache_dir=options.cache_dir, max_tokens=options.max_tokens)
        name = _unused(ranker.name, results["models"])
        entry: dict[str, Any] = {
            "spec": spec,
            "description": getattr(ranker, "description", ""),
            "seconds": {},
            "results": {},
        }
        results["models"][name] = entry
        total = 0.0
        for task in tasks:
            try:
                found, seconds = _measure(ranker, name, task, footprints[spec], options)
            except UserError as error:
                say(f"Failed: {error}")
                failures.append(f"{name} on {task.name}")
                skipped.append({"task": f"{task.name} for {name}", "reason": str(error)})
                continue
            total += seconds
            entry["results"][task.name] = found
            entry["seconds"] = {"total": total}
            if (encoding := getattr(ranker, "encode_seconds", None)) is not None:
                entry["seconds"]["encode"] = encoding
            entry["groups"] = group_means(results["tasks"], entry["results"])
            entry["macro"] = macro_average(entry["groups"])
            write_json(options.out / "results.json", results)
            say(task_line(name, results["tasks"][task.name], found, seconds))
        del ranker
    if any(entry["results"] for entry in results["models"].values()):
        write_json(options.out / "results.json", results)
        write_atomically(options.out / "results.md", markdown(results).encode())
        plot(results, options.out / "results.png")
        report("\n" + terminal_table(results))
        report(f"\nWritten to {options.out}: results.json, results.md, results.png")
    if failures:
        raise UserError(
            f"{len(failures)} of {len(options.models) * len(tasks)} rankings failed: {', '.join(failures)}. The lines "
            "above say why; all others are in the tables."
        )
    return results


def _measure(
    ranker: Ranker, name: str, task: RankingTask, footprint: Footprint | None, options: EvaluationOptions
) -> tuple[dict[str, Any], float]:
    """One model on one task, as results.json has it, and the seconds that ranking took."""
    # The worst rankings are those of the lowest average precision.
    wanted = dict.fromkeys((*options.metrics, *(("map",) if options.dump_rankings else ())))
    measured = measure(ranker, task, tuple(wanted))
    found = summarise(measured, task, options.bootstrap)
    found["leakage"] = leakage(task, footprint).to_dict() if footprint else None
    if options.dump_rankings:
        folder = options.out / "rankings" / folder_name(name)
        dump_rankings(folder, task, name, measured.per_query, measured.score, worst=options.dump_rankings)
    return found, measured.seconds


def _unused(name: str, taken: dict[str, Any]) -> str:
    """`name`, or with a number behind it where another model has it already."""
    if name not in taken:
        return name
    return next(numbered for k in range(2, len(taken) + 3) if (numbered := f"{name} ({k})") not in taken)


def _settings(options: EvaluationOptions) -> dict[str, Any]:
    """What decides the numbers, as JSON values; where things lie on this machine does not."""
    return {
        "split": options.split,
        "max_queries": options.max_queries,
        "metrics": list(options.metrics),
        "max_tokens": options.max_tokens,
        "bootstrap": options.bootstrap,
        "esco_version": options.esco_version,
        "language": options.language,
        "drop_leaks": options.drop_leaks,
    }
