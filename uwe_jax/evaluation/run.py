"""Runs an evaluation from its tasks to its report."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
import time
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import uwe_jax
from uwe_jax.data.training_hashes import TrainingHashes
from uwe_jax.evaluation.aggregate import SCHEMA_VERSION, Results, add_averages
from uwe_jax.evaluation.classify import Classifier
from uwe_jax.evaluation.error_analysis import dump_rankings
from uwe_jax.evaluation.evaluation import Evaluation
from uwe_jax.evaluation.given_models import GivenModel, given_models, ranker_of
from uwe_jax.evaluation.join import join_models, read_results
from uwe_jax.evaluation.leakage import is_in_domain, leakage, without_leaks
from uwe_jax.evaluation.measure import Keep, measure, summarise
from uwe_jax.evaluation.model_hashes import trained_on
from uwe_jax.evaluation.options import SETTINGS, EvaluationOptions
from uwe_jax.evaluation.ranker import Ranker, truncation
from uwe_jax.evaluation.results_folder import ResultsFolder
from uwe_jax.evaluation.run_file import SPEC, RunFile, RunOfTask, check_runs, run_writer
from uwe_jax.evaluation.specs import FORMS
from uwe_jax.evaluation.target_names import NamesRanker, with_name_notes
from uwe_jax.evaluation.tasks.beir import write_beir
from uwe_jax.evaluation.tasks.catalogue import SkippedTask, choose, load_tasks
from uwe_jax.evaluation.tasks.languages import Pair, parse_languages
from uwe_jax.evaluation.tasks.task import RankingTask, TaskSources, TaskSpec
from uwe_jax.evaluation.terminal import FEW_REASONS, skipped_lines, task_line
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import cache_folder, data_folders, make_out
from uwe_jax.runtime.locks import exclusive
from uwe_jax.runtime.memory import process_peak
from uwe_jax.runtime.progress import counted, duration
from uwe_jax.scoring.ranking_metrics import check_metric_names
from uwe_jax.scoring.statistics import paired_bootstrap

LOG = logging.getLogger(__name__)
_FLAGS = ("--languages ", "--esco-version ")
_MOST_NAMES = 20  # of skipped tasks in a line


def evaluate(
    options: EvaluationOptions, models: Sequence[GivenModel], tasks: Sequence[Any], out: Path | None
) -> Evaluation:
    """Measures every model on every task, and writes results.json, results.md and results.png into a folder, if any.

    Tasks are those of `choose`.

    The results are written after every task; until the end, results.json says `"complete": false`. A model that cannot
    be loaded is left out, and a ranker that fails on a task loses that task alone; see `Evaluation.failure`.

    Raises:
      UserError: bad input, no model, or another evaluation writes to the same folder.
    """
    folders = data_folders(options.data), cache_folder(options.cache_dir)
    sources = TaskSources(
        *(*folders, options.esco_version),
        offline=options.offline,
        names=options.target_names,
        descriptions=options.target_descriptions,
        flags=_FLAGS,
    )
    check_metric_names(options.metrics)
    earlier = [(path, read_results(path)) for path in options.join]
    specs = choose(tasks)
    check_runs(options.run, len(specs), out)
    models = [*models, *given_models([f"{SPEC}{path}" for path in options.run])]
    if not models and not options.save_tasks:
        raise UserError("There is no model to measure. Give a model's name, such as 'bm25', or a ranker.")
    if out is None:
        for name in ("dump_rankings", "save_runs", "save_tasks"):
            if getattr(options, name):
                raise UserError(f"{name} writes files. Name their folder with out.")
        return _evaluate(options, models, specs, sources, earlier, out)
    make_out(out)
    doing = f"evaluating, with its results in {out.resolve()}"
    with exclusive(out / ".lock", doing, advice="name another folder with --out"):
        return _evaluate(options, models, specs, sources, earlier, out)


def _evaluate(
    options: EvaluationOptions,
    models: Sequence[GivenModel],
    specs: Sequence[TaskSpec],
    sources: TaskSources,
    earlier: Sequence[tuple[Path, Results]],
    out: Path | None,
) -> Evaluation:
    started = time.perf_counter()
    all_hashes = [trained_on(model.trained_in, sources.cache_dir) if model.trained_in else None for model in models]
    languages = parse_languages(options.languages)
    tasks, skipped, in_domain = _prepare_tasks(options, specs, sources, languages, all_hashes)
    classifier = Classifier(options.classify, specs, sources, languages) if options.classify else None
    queries = sum(len(task.queries) for task in tasks)
    took = duration(time.perf_counter() - started)
    read = f"{counted(len(tasks), 'task')} with {counted(queries, 'query')}, read in {took}"
    LOG.info(f"{read}; {counted(len(models), 'model')} to measure.")
    results: Results = {
        "schema_version": SCHEMA_VERSION,
        "version": uwe_jax.__version__,
        "complete": False,
        "settings": {name: getattr(options, name) for name in SETTINGS},
        "tasks": {task.name: _describe(task) for task in tasks},
        "skipped": [*skipped],
        "models": {},
    }
    for path, other in earlier:
        partial = "" if other.get("complete", True) else " (of an incomplete evaluation)"
        LOG.info(f"Joined from {path}{partial}: {', '.join(join_models(results, other, path)) or 'nothing'}")
    if out and options.save_tasks:
        for task in tasks:
            folder = out / "tasks" / f"{task.name}_{task.split}"
            write_beir(folder, task)
            LOG.info(f"Written to {folder}: {task.title} as a BEIR folder")
    run = _Run(options, sources.cache_dir, tasks, Evaluation(results, tasks), out, classifier)
    for model, hashes, leaked in zip(models, all_hashes, in_domain, strict=True):
        run.add_model(model, hashes, leaked)
    if len(run.evaluation):
        run.write(complete=True)
    return run.evaluation


def _prepare_tasks(
    options: EvaluationOptions,
    specs: Sequence[TaskSpec],
    sources: TaskSources,
    languages: Sequence[Pair],
    all_hashes: Sequence[TrainingHashes | None],
) -> tuple[list[RankingTask], list[dict[str, str]], list[set[str]]]:
    """Returns tasks, skipped tasks as in results.json, and the names of in-domain tasks of every model."""
    tasks, missing = load_tasks(specs, sources, options.split, languages)
    requested, leaked = len(tasks) + len(missing), []
    in_domain = [{task.name for task in tasks if hashes and is_in_domain(task, hashes)} for hashes in all_hashes]
    kept = []
    for task in tasks:
        try:
            task = without_leaks(task, list(filter(None, all_hashes))) if options.drop_leaks else task
        except UserError as error:
            leaked.append({"task": task.name, "reason": str(error)})
            continue
        task = task.sample(options.max_queries)
        kept.append(with_name_notes(task) if options.by_several else task)
    lacking = [each.to_dict() for each in missing]
    lines, skipped = skipped_lines(lacking), [*lacking, *leaked]
    brief = len(lines) > FEW_REASONS  # of sets of tasks many lack their data
    for line in lines:
        LOG.log(logging.DEBUG if brief else logging.WARNING, line)
    if brief:
        LOG.warning(_summary(missing, sources, options.split, languages))
    for line in skipped_lines(leaked):
        LOG.warning(line)
    if skipped and options.strict:
        raise UserError(
            f"{len(skipped)} of {requested} tasks cannot be measured and --strict is set: "
            f"{', '.join(each['task'] for each in skipped)}. See above for where to get their data."
        )
    if not kept:
        raise UserError(
            f"None of {counted(len(skipped), 'requested task')} can be measured; see above for why. Give the folders "
            "that hold their data: --data FOLDER."
        )
    return kept, skipped, in_domain


def _summary(missing: Sequence[SkippedTask], sources: TaskSources, split: str, languages: Sequence[Pair]) -> str:
    """Returns a line on the tasks that were not there, each once with its languages."""
    found: dict[str, list[str]] = {}
    for each in missing:
        found.setdefault(each.spec, []).append(each.languages)
    names = [name if pairs in (["en"], [""]) else f"{name} ({', '.join(pairs)})" for name, pairs in found.items()]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    where = sources.listed + (f", or has no {split} split" if split != "any" else "")
    where += f", or not in {', '.join(map(str, languages))}" if languages != [Pair("en", "en")] else ""
    return (
        f"{counted(len(found), 'task')} were skipped because their data is not in {where}: "
        f"{', '.join(names[:_MOST_NAMES])}{more}; --tasks NAME says what one needs, --verbose what all do."
    )


def _describe(task: RankingTask) -> dict[str, Any]:
    """Returns a task as in results.json."""
    texts = {key: getattr(task, key) for key in ("title", "group", "split", "origin")}
    counts = {"queries": len(task.queries), "targets": len(task.targets), "edges": int(task.relevant.nnz)}
    query, target = task.languages
    languages = {"family": task.family or task.name, "query_language": query, "target_language": target}
    graded = {} if task.grades is None else {"threshold": task.threshold}
    return {**texts, **languages, **counts, **graded, "notes": list(task.notes)}


class _Run:
    """Adds models to an evaluation, and writes it after every task."""

    def __init__(
        self,
        options: EvaluationOptions,
        cache_dir: Path,
        tasks: Sequence[RankingTask],
        evaluation: Evaluation,
        out: Path | None,
        classifier: Classifier | None,
    ):
        self.options, self.cache_dir, self.tasks, self.evaluation = options, cache_dir, tasks, evaluation
        self.results, self.classifier = evaluation.results, classifier
        self.folder = ResultsFolder(out, self.results) if out else None
        # Metrics [q] by task of the first model of the table, unless that one is joined.
        self.first_compared: dict[str, dict[str, np.ndarray]] = {}

    def write(self, *, complete: bool = False) -> None:
        """Updates the averages, and writes the files if there is a folder."""
        add_averages(self.results)
        self.results["complete"] = complete
        if self.folder:
            self.folder.write()

    def add_model(self, model: GivenModel, hashes: TrainingHashes | None, in_domain: Collection[str]) -> None:
        """Measures a model; a failure, to load it or on a task, is reported and added to the skipped ones."""
        models, options = self.results["models"], self.options
        try:
            ranker = ranker_of(model, options, self.cache_dir)
        except UserError as error:
            self._skip(f"{model.title or model.spec} on all tasks", error)
            return
        title = model.title or str(ranker.name) or model.spec
        numbered = itertools.chain([title], (f"{title} ({k})" for k in itertools.count(2)))
        name = next(each for each in numbered if each not in models)
        about = str(getattr(ranker, "description", None) or "")
        entry: dict[str, Any] = {"spec": model.spec, "description": about, "seconds": {}, "results": {}}
        entry |= {"peak_memory_bytes": None, "groups": {}, "macro": {}, "languages": {}}
        models[name] = entry
        of_tasks = partial(self._ranker_of_task, ranker)
        for task in self.tasks:
            # Runs rank the ids of queries.
            asked = dataclasses.replace(task, queries=task.query_ids) if isinstance(ranker, RunFile) else task
            try:
                of_task = of_tasks(task)
                with self._run_writer(name, task) as keep:
                    measured = measure(of_task, asked, options.metrics, keep)
                if self.folder and (worst := options.dump_rankings):
                    folder, ndcg = self.folder.of_model("rankings", name), measured.compared.get("ndcg")
                    values = measured.average_precision, measured.score
                    dump_rankings(folder, task, name, *values, ndcg=ndcg, asked=asked.queries, worst=worst)
            except UserError as error:
                self._skip(f"{name} on {task.name}", error)
                continue
            found = summarise(measured, task, options.bootstrap)
            notes = [*of_task.notes] if isinstance(of_task, RunOfTask) else []
            if self.classifier:
                try:
                    found["classification"] = self.classifier.measure(
                        of_task, measured.score, asked, options.bootstrap, of_tasks
                    )
                except UserError as error:
                    notes.append(" ".join(str(error).split()))
            texts = {"query": task.queries, "name" if task.several else "target": task.target_names.texts}
            found["truncated"] = [note for what, each in texts.items() for note in truncation(ranker, each).notes(what)]
            found |= {"notes": notes} if notes else {}
            found["leakage"] = leakage(task, hashes, in_domain=task.name in in_domain) if hashes else None
            first = next((model for model, other in models.items() if other["results"]), name)
            if name == first:
                self.first_compared[task.name] = measured.compared
            elif options.bootstrap and task.name in self.first_compared:
                pairs = zip(measured.compared.items(), self.first_compared[task.name].values(), strict=True)
                found["difference"] = {"to": first} | {
                    metric: list(paired_bootstrap(100.0 * values, 100.0 * other, samples=options.bootstrap))
                    for (metric, values), other in pairs
                }
            entry["results"][task.name] = found
            entry["seconds"] = {part: entry["seconds"].get(part, 0) + spent for part, spent in measured.seconds.items()}
            entry["peak_memory_bytes"] = process_peak()
            self.evaluation.add_per_query(name, task.name, measured.per_query)
            self.write()
            LOG.info(task_line(name, self.results["tasks"][task.name], found, measured.seconds["total"]))
            for note in (*found["truncated"], *found.get("notes", ())):
                LOG.warning(f"{name} on {task.name}: {note}")

    def _ranker_of_task(self, ranker: Any, task: RankingTask) -> Ranker:
        if isinstance(ranker, RunFile):
            return ranker.of_task(task)
        return NamesRanker(ranker, task, self.options.weights) if task.several else ranker

    def _run_writer(self, name: str, task: RankingTask) -> contextlib.AbstractContextManager[Keep | None]:
        if not (self.options.save_runs and self.folder):
            return contextlib.nullcontext()
        path = self.folder.of_model("runs", name) / f"{task.name}.trec"
        return run_writer(path, task, name, self.options.run_depth)

    def _skip(self, what: str, error: UserError) -> None:
        LOG.warning(f"Failed: {error}")
        # Without the details, which were printed, and in one line for the row of a table without the list of forms.
        self.evaluation.failed.append((what, str(error).partition("\n")[0]))
        reason = " ".join(str(error).removesuffix(FORMS).split())
        self.results["skipped"].append({"task": what, "reason": reason})
