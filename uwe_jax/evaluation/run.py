"""The evaluation from its tasks to its report."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import uwe_jax
from uwe_jax.data.training_hashes import Footprint
from uwe_jax.evaluation.aggregate import Results, group_means, macro_average
from uwe_jax.evaluation.error_analysis import dump_rankings
from uwe_jax.evaluation.join import join_models, read_results
from uwe_jax.evaluation.leakage import is_in_domain, leakage, without_leaks
from uwe_jax.evaluation.measure import measure, summarise
from uwe_jax.evaluation.ranker import Ranker, truncation
from uwe_jax.evaluation.results_folder import ResultsFolder
from uwe_jax.evaluation.specs import FORMS, load_ranker
from uwe_jax.evaluation.tasks.catalogue import choose, load_tasks
from uwe_jax.evaluation.tasks.spec import TaskSources
from uwe_jax.evaluation.tasks.task import RankingTask
from uwe_jax.models.exported import is_exported
from uwe_jax.models.remote_workdir import is_workdir, make_local
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.folder_arguments import make_out
from uwe_jax.runtime.locks import exclusive
from uwe_jax.runtime.progress import duration, report
from uwe_jax.scoring.ranking_metrics import DEFAULT_METRICS, check_metric_names
from uwe_jax.scoring.statistics import paired_bootstrap
from uwe_jax.training.workdir import TRAINED_ON

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class EvaluationOptions:
    """What is measured on what. The fields are the flags of `uwe-jax evaluate`."""

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


def trained_on(spec: str, cache_dir: Path) -> Footprint | None:
    """The footprint of a run's or an export's folder; None for any other ranker, of which no training data is known."""
    folder = Path(make_local(spec, cache_dir)).expanduser()
    if is_exported(folder):
        return Footprint.read(folder / TRAINED_ON)
    if not is_workdir(folder):
        return None
    footprint = Footprint.read(folder / TRAINED_ON)
    if footprint is None:
        LOG.warning(
            f"{folder} does not know what it was trained on ({TRAINED_ON} is missing, as in runs of older versions): "
            "its leakage is not reported. Run its training command once more; a finished run only adds that file."
        )
    return footprint


def prepare_tasks(
    options: EvaluationOptions, footprints: Mapping[str, Footprint | None]
) -> tuple[list[RankingTask], list[dict], dict[str, set[str]]]:
    """The tasks that there is data for, those that are skipped with the reason, and which are in-domain for a model.

    Args:
      footprints: by model, as it is given.

    Returns:
      Tasks, skipped tasks as results.json has them, and the names of in-domain tasks by model with a footprint.

    Raises:
      UserError: a task is skipped under `strict`, or nothing is left.
    """
    sources = TaskSources(options.data, options.cache_dir, options.esco_version, options.language, options.offline)
    tasks, missing = load_tasks(choose(options.tasks), sources, options.split)
    skipped = [{"task": each.name, "reason": each.reason} for each in missing]
    known = {spec: footprint for spec, footprint in footprints.items() if footprint}
    in_domain = {
        spec: {task.name for task in tasks if is_in_domain(task, footprint)} for spec, footprint in known.items()
    }
    kept = []
    for task in tasks:
        try:
            if options.drop_leaks:
                task = without_leaks(task, list(known.values()))
        except UserError as error:
            skipped.append({"task": task.name, "reason": str(error)})
            continue
        kept.append(task.sample(options.max_queries))
    for each in skipped:
        LOG.warning(f"Skipped {each['task']}: {each['reason']}")
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
    return kept, skipped, in_domain


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

    What was measured is written after every task; until the end, results.json says `"complete": false`. A model that
    cannot be loaded is left out, and a ranker that fails on a task loses that task alone.

    Returns:
      What results.json holds.

    Raises:
      UserError: for what the user can fix, such as another evaluation that writes to the same folder; at the end as
        well, if a model could not be loaded or failed on a task.
    """
    check_metric_names(options.metrics)
    earlier = [(path, read_results(path)) for path in options.join]
    make_out(options.out)
    doing = f"evaluating, with its results in {options.out.resolve()}"
    with exclusive(options.out / ".lock", doing, advice="name another folder with --out"):
        return _evaluate(options, earlier)


def _evaluate(options: EvaluationOptions, earlier: Sequence[tuple[Path, Results]]) -> Results:
    # Imported here: tables are not needed before there is something to show.
    from uwe_jax.evaluation.terminal import terminal_table

    started = time.perf_counter()
    footprints = {spec: trained_on(spec, options.cache_dir) for spec in options.models}
    tasks, skipped, in_domain = prepare_tasks(options, footprints)
    queries = sum(len(task.queries) for task in tasks)
    took = duration(time.perf_counter() - started)
    LOG.info(f"{len(tasks)} tasks with {queries:,} queries, read in {took}; {len(footprints)} models to measure.")
    results: Results = {
        "version": uwe_jax.__version__,
        "complete": False,
        "settings": _settings(options),
        "tasks": {task.name: describe_task(task) for task in tasks},
        "skipped": [*skipped],
        "models": {},
    }
    for path, other in earlier:
        partial = "" if other.get("complete", True) else " (of an evaluation that did not come to its end)"
        LOG.info(f"Joined from {path}{partial}: {', '.join(join_models(results, other, path)) or 'nothing'}")
    folder = ResultsFolder(options.out)
    precision_of_first: dict[str, np.ndarray] = {}
    for spec, footprint in footprints.items():
        _measure_model(spec, footprint, in_domain.get(spec, ()), tasks, options, results, folder, precision_of_first)
    measured = any(entry["results"] for entry in results["models"].values())
    if measured:
        folder.finish(results)
        report("\n" + terminal_table(results))
        report(f"\nWritten to {options.out}: results.json, results.md, results.png")
    if failed := results["skipped"][len(skipped) :]:
        rest = "all else is in the tables" if measured else "so nothing was measured"
        raise UserError(
            f"{', '.join(each['task'] for each in failed)} failed, {rest}. The reason of the first: "
            f"{failed[0]['reason']}"
        )
    return results


def _measure_model(
    spec: str,
    footprint: Footprint | None,
    in_domain: Collection[str],
    tasks: Sequence[RankingTask],
    options: EvaluationOptions,
    results: Results,
    folder: ResultsFolder,
    precision_of_first: dict[str, np.ndarray],
) -> None:
    """Adds a model to the results. That it is no ranker, or fails on a task, is said and joins what is skipped.

    Args:
      in_domain: names of the tasks that the model was trained on.
      precision_of_first: average precision [q] by task of the first model of the table, which that model leaves here; a
        joined one leaves nothing.
    """
    from uwe_jax.evaluation.terminal import task_line

    try:
        ranker = load_ranker(spec, cache_dir=options.cache_dir, max_tokens=options.max_tokens)
    except UserError as error:
        _skip(results, f"{spec} on all tasks", error)
        return
    name = _unused(str(ranker.name) or spec, results["models"])
    entry: dict[str, Any] = {"spec": spec, "description": str(getattr(ranker, "description", None) or "")}
    entry |= {"seconds": {}, "results": {}, "groups": {}, "macro": {}}
    results["models"][name] = entry
    for task in tasks:
        try:
            found, seconds, precision = _measure(ranker, name, task, options, lambda: folder.rankings(results))
        except UserError as error:
            _skip(results, f"{name} on {task.name}", error)
            continue
        found["leakage"] = leakage(task, footprint, in_domain=task.name in in_domain) if footprint else None
        first = next((model for model, other in results["models"].items() if other["results"]), name)
        if name == first:
            precision_of_first[task.name] = precision
        elif options.bootstrap and task.name in precision_of_first:
            points = 100.0 * precision, 100.0 * precision_of_first[task.name]
            found["difference"] = {"to": first, "map": list(paired_bootstrap(*points, samples=options.bootstrap))}
        entry["results"][task.name] = found
        entry["seconds"] = {part: entry["seconds"].get(part, 0.0) + spent for part, spent in seconds.items()}
        entry["groups"] = group_means(results["tasks"], entry["results"])
        entry["macro"] = macro_average(entry["groups"])
        folder.write(results)
        LOG.info(task_line(name, results["tasks"][task.name], found, seconds["total"]))
        for note in found["truncated"]:
            LOG.warning(f"{name} on {task.name}: {note}")


def _measure(
    ranker: Ranker, name: str, task: RankingTask, options: EvaluationOptions, rankings: Callable[[], Path]
) -> tuple[dict[str, Any], dict[str, float], np.ndarray]:
    """One model on one task: what results.json has of it, the seconds that it took, and its average precision [q]."""
    encoded = getattr(ranker, "encode_seconds", None)
    measured = measure(ranker, task, options.metrics)
    seconds = {"total": measured.seconds}
    if encoded is not None:
        seconds["encode"] = float(getattr(ranker, "encode_seconds", 0.0) - encoded)
    found = summarise(measured, task, options.bootstrap)
    texts = {"queries": task.queries, "targets": task.targets}
    found["truncated"] = [note for what, each in texts.items() for note in truncation(ranker, each).notes(what)]
    if options.dump_rankings:
        folder = rankings() / folder_name(name)
        precision, score = measured.average_precision, measured.score
        dump_rankings(folder, task, name, precision, score, worst=options.dump_rankings)
    return found, seconds, measured.average_precision


def _skip(results: Results, what: str, error: UserError) -> None:
    LOG.warning(f"Failed: {error}")
    # In one line, as a table takes it, and without the list of what a model may be.
    results["skipped"].append({"task": what, "reason": " ".join(str(error).removesuffix(FORMS).split())})


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
