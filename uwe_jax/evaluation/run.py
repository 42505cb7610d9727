"""Runs an evaluation from its tasks to its report."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

import uwe_jax
from uwe_jax.data.training_hashes import TrainingHashes
from uwe_jax.evaluation.aggregate import Results
from uwe_jax.evaluation.error_analysis import dump_rankings
from uwe_jax.evaluation.join import join_models, read_results
from uwe_jax.evaluation.leakage import is_in_domain, leakage, without_leaks
from uwe_jax.evaluation.measure import Keep, measure, summarise
from uwe_jax.evaluation.ranker import Ranker, truncation
from uwe_jax.evaluation.results_folder import ResultsFolder
from uwe_jax.evaluation.run_file import SPEC, RunFile, RunOfTask, check_runs, run_writer
from uwe_jax.evaluation.specs import FORMS, load_ranker
from uwe_jax.evaluation.target_names import NamesRanker, with_name_notes
from uwe_jax.evaluation.tasks.beir import write_beir
from uwe_jax.evaluation.tasks.catalogue import choose, load_tasks
from uwe_jax.evaluation.tasks.task import RankingTask, TaskSources
from uwe_jax.evaluation.terminal import task_line, terminal_table
from uwe_jax.models.exported import is_exported
from uwe_jax.models.remote_workdir import is_workdir, make_local
from uwe_jax.retrieval.settings import RankSettings
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import cache_folder, data_folders, make_out
from uwe_jax.runtime.locks import exclusive
from uwe_jax.runtime.options import FilePath, NameList, Repeated, RepeatedPath, at_least
from uwe_jax.runtime.progress import counted, duration, report
from uwe_jax.runtime.settings import within
from uwe_jax.scoring.names import LABEL_WEIGHT
from uwe_jax.scoring.ranking_metrics import DEFAULT_METRICS, check_metric_names
from uwe_jax.scoring.statistics import paired_bootstrap
from uwe_jax.training.workdir import TRAINED_ON

LOG = logging.getLogger(__name__)
# The settings that decide the numbers.
_SETTINGS = [
    *("split", "max_queries", "metrics", "max_tokens", "bootstrap", "esco_version", "language", "drop_leaks"),
    *("target_names", "label_weight", "words", "clean_queries"),
]


@dataclass(frozen=True)
class EvaluationOptions:
    """Options of `uwe-jax evaluate`.

    Attributes:
      model: a model as above; may be repeated.
      data: a folder of downloads; may be repeated.
      tasks: tasks, sets of tasks or task folders.
      out: folder of the results.
      run: a TREC run file, the ranking of another system, measured on the one task of --tasks; may be repeated.
      split: split of the tasks; any takes the test half where there is one, else the validation half.
      max_queries: queries per task, the same ones every time; 0 takes all.
      metrics: map, mrr, rp@k, ndcg@k, recall@k, hit@k for any k.
      max_tokens: tokens of a text that an encoder reads.
      bootstrap: resamples for the 95 % intervals; 0 computes none.
      esco_version: such as 1.1.1; by default the newest complete one in the folders.
      language: of ESCO's labels; several, as en,de, add the labels of the others as further names.
      strict: stop if the data of a task is missing, instead of skipping the task.
      offline: never access the Hugging Face hub.
      drop_leaks: leave out queries that are in the training graphs of a model.
      target_names: rank by all names of a target that the data has, such as alternative labels, instead of its label
        alone; off by default, as published figures are of labels.
      label_weight: with --target-names, the weight of the label's own score; the rest is of the best name's.
      words: weight of words in common, 0 to 1, which is added to the score of runs, exports and encoders.
      clean_queries: let these score queries without list bullets and gender markers; published figures are of raw ones.
      dump_rankings: write so many of the worst queries of every task with what was ranked above the right answer.
      save_runs: write the ranking of every model and task as a TREC run file, below --out.
      run_depth: with --save-runs, targets of a query that are written; 0 writes all.
      save_tasks: write every task as a BEIR folder, below --out.
      join: folder of an earlier evaluation whose models join the tables; may be repeated.
      cache_dir: folder of prepared data and encoders; by default $UWE_JAX_CACHE or the user's cache folder.
    """

    model: Repeated = ()
    data: Repeated = ()
    tasks: NameList = ("all",)
    out: FilePath = Path("runs/evaluation")
    run: RepeatedPath = ()
    split: Literal["any", "test", "validation", "train"] = "any"
    max_queries: int = 4000
    metrics: NameList = DEFAULT_METRICS
    max_tokens: int = 64
    bootstrap: int = 1000
    esco_version: str = ""
    language: str = "en"
    strict: bool = False
    offline: bool = False
    drop_leaks: bool = False
    target_names: bool = False
    label_weight: float = LABEL_WEIGHT
    words: float = 0.0
    clean_queries: bool = False
    dump_rankings: int = 0
    save_runs: bool = False
    run_depth: int = 1000
    save_tasks: bool = False
    join: RepeatedPath = ()
    cache_dir: str = ""

    def __post_init__(self) -> None:
        at_least(0, max_queries=self.max_queries, bootstrap=self.bootstrap, dump_rankings=self.dump_rankings)
        at_least(0, run_depth=self.run_depth)
        at_least(3, max_tokens=self.max_tokens)
        within("--label-weight", self.label_weight, 0, 1)
        within("--words", self.words, 0, 1)
        if self.label_weight != LABEL_WEIGHT and not self.target_names:
            raise UserError("--label-weight has no effect without --target-names. Give both, or neither.")
        if self.run and self.target_names:
            raise UserError("--run ranks targets as its file says, and not by names. Leave out --target-names.")
        if not self.tasks:
            raise UserError("--tasks names nothing. Give tasks, sets of tasks or folders, separated by commas.")


def evaluate(options: EvaluationOptions) -> Results:
    """Measures every model on every task, and writes results.json, results.md and results.png.

    The results are written after every task; until the end, results.json says `"complete": false`. A model that cannot
    be loaded is left out, and a ranker that fails on a task loses that task alone. Returns the content of results.json;
    raises UserError for bad input, if another evaluation writes to the same folder, and at the end if a model failed.
    """
    folders = data_folders(options.data), cache_folder(options.cache_dir)
    sources = TaskSources(*folders, options.esco_version, options.language, options.offline, names=options.target_names)
    check_metric_names(options.metrics)
    earlier = [(path, read_results(path)) for path in options.join]
    make_out(options.out)
    doing = f"evaluating, with its results in {options.out.resolve()}"
    with exclusive(options.out / ".lock", doing, advice="name another folder with --out"):
        return _evaluate(options, sources, earlier)


def _evaluate(options: EvaluationOptions, sources: TaskSources, earlier: Sequence[tuple[Path, Results]]) -> Results:
    started = time.perf_counter()
    models = (*options.model, *(f"{SPEC}{path}" for path in options.run))
    all_hashes = {spec: trained_on(spec, sources.cache_dir) for spec in models}
    tasks, skipped, in_domain = _prepare_tasks(options, sources, all_hashes)
    queries = sum(len(task.queries) for task in tasks)
    took = duration(time.perf_counter() - started)
    read = f"{counted(len(tasks), 'task')} with {counted(queries, 'query')}, read in {took}"
    LOG.info(f"{read}; {counted(len(all_hashes), 'model')} to measure.")
    results: Results = {
        "version": uwe_jax.__version__,
        "complete": False,
        "settings": {name: getattr(options, name) for name in _SETTINGS},
        "tasks": {task.name: _describe(task) for task in tasks},
        "skipped": [*skipped],
        "models": {},
    }
    for path, other in earlier:
        partial = "" if other.get("complete", True) else " (of an incomplete evaluation)"
        LOG.info(f"Joined from {path}{partial}: {', '.join(join_models(results, other, path)) or 'nothing'}")
    evaluation = _Evaluation(options, sources.cache_dir, tasks, results)
    for task in tasks if options.save_tasks else ():
        folder = options.out / "tasks" / f"{task.name}_{task.split}"
        write_beir(folder, task)
        LOG.info(f"Written to {folder}: {task.title} as a BEIR folder")
    for spec, hashes in all_hashes.items():
        evaluation.add_model(spec, hashes, in_domain.get(spec, ()))
    measured = any(entry["results"] for entry in results["models"].values())
    if measured:
        evaluation.folder.write(complete=True)
        report("\n" + terminal_table(results))
        report(f"\nWritten to {options.out}: results.json, results.md, results.png")
        report(f"Next: read {options.out / 'results.md'}, which has the intervals and more tables.")
    if failed := results["skipped"][len(skipped) :]:
        first = f"all else is in the tables. The reason of the first: {evaluation.first_failure}"
        rest = first if measured else "so nothing was measured; the lines above say why."
        raise UserError(f"{', '.join(each['task'] for each in failed)} failed, {rest}")
    return results


def trained_on(spec: str, cache_dir: Path) -> TrainingHashes | None:
    """Reads the training hashes of a run or an export; None for any other ranker, whose training data is unknown."""
    folder = Path(make_local(spec, cache_dir)).expanduser()
    exported = is_exported(folder)
    if not exported and not is_workdir(folder):
        return None
    hashes = TrainingHashes.read(folder / TRAINED_ON)
    if hashes is None and not exported:
        LOG.warning(
            f"{folder} has no {TRAINED_ON}, as in runs of older versions: its leakage is not reported. Re-run its "
            "training command; a finished run only adds that file."
        )
    return hashes


def _prepare_tasks(
    options: EvaluationOptions, sources: TaskSources, all_hashes: Mapping[str, TrainingHashes | None]
) -> tuple[list[RankingTask], list[dict], dict[str, set[str]]]:
    """Returns tasks, skipped tasks as in results.json, and the names of in-domain tasks by model."""
    chosen = choose(options.tasks)
    check_runs(options.run, len(chosen), options.out)
    tasks, skipped = load_tasks(chosen, sources, options.split)
    requested = len(tasks) + len(skipped)
    known = {spec: hashes for spec, hashes in all_hashes.items() if hashes}
    in_domain = {spec: {task.name for task in tasks if is_in_domain(task, hashes)} for spec, hashes in known.items()}
    kept = []
    for task in tasks:
        try:
            task = without_leaks(task, list(known.values())) if options.drop_leaks else task
        except UserError as error:
            skipped.append({"task": task.name, "reason": str(error)})
            continue
        task = task.sample(options.max_queries)
        kept.append(with_name_notes(task) if options.target_names else task)
    for each in skipped:
        LOG.warning(f"Skipped {each['task']}: {each['reason']}")
    if skipped and options.strict:
        raise UserError(
            f"{len(skipped)} of {requested} tasks cannot be measured and --strict is set: "
            f"{', '.join(each['task'] for each in skipped)}. The lines above say where to get their data."
        )
    if not kept:
        raise UserError(
            f"None of the {len(skipped)} requested tasks can be measured; the lines above say why. Give the folders "
            "that hold their data: --data FOLDER."
        )
    return kept, skipped, in_domain


def _describe(task: RankingTask) -> dict[str, Any]:
    """Returns a task as in results.json."""
    texts = {key: getattr(task, key) for key in ("title", "group", "split", "origin")}
    counts = {"queries": len(task.queries), "targets": len(task.targets), "edges": int(task.relevant.nnz)}
    graded = {} if task.grades is None else {"threshold": task.threshold}
    return {**texts, **counts, **graded, "notes": list(task.notes)}


class _Evaluation:
    """Adds models to the results, and writes them after every task."""

    def __init__(self, options: EvaluationOptions, cache_dir: Path, tasks: Sequence[RankingTask], results: Results):
        self.options, self.cache_dir, self.tasks, self.results = options, cache_dir, tasks, results
        self.folder = ResultsFolder(options.out, results)
        # Metrics [q] by task of the first model of the table, unless that one is joined.
        self.first_compared: dict[str, dict[str, np.ndarray]] = {}
        self.first_failure = ""  # without the details, which were printed

    def add_model(self, spec: str, hashes: TrainingHashes | None, in_domain: Collection[str]) -> None:
        """Measures a model; a failure, to load it or on a task, is reported and added to the skipped ones."""
        models, options = self.results["models"], self.options
        try:
            how = RankSettings(words=options.words, clean_queries=options.clean_queries)
            ranker = load_ranker(spec, cache_dir=self.cache_dir, max_tokens=options.max_tokens, how=how)
        except UserError as error:
            self._skip(f"{spec} on all tasks", error)
            return
        title = str(ranker.name) or spec
        numbered = itertools.chain([title], (f"{title} ({k})" for k in itertools.count(2)))
        name = next(each for each in numbered if each not in models)
        about = str(getattr(ranker, "description", None) or "")
        entry: dict[str, Any] = {"spec": spec, "description": about, "seconds": {}, "results": {}}
        models[name] = entry
        for task in self.tasks:
            try:
                of_task, asked = self._ranker_of_task(ranker, task)
                with self._run_writer(name, task) as keep:
                    measured = measure(of_task, asked, options.metrics, keep)
                if worst := options.dump_rankings:
                    folder, ndcg = self.folder.of_model("rankings", name), measured.compared.get("ndcg")
                    values = measured.average_precision, measured.score
                    dump_rankings(folder, task, name, *values, ndcg=ndcg, asked=asked.queries, worst=worst)
            except UserError as error:
                self._skip(f"{name} on {task.name}", error)
                continue
            found = summarise(measured, task, options.bootstrap)
            texts = {"queries": task.queries, "names" if task.names else "targets": task.target_names.texts}
            found["truncated"] = [note for what, each in texts.items() for note in truncation(ranker, each).notes(what)]
            if isinstance(of_task, RunOfTask) and of_task.notes:
                found["notes"] = of_task.notes
            found["leakage"] = leakage(task, hashes, in_domain=task.name in in_domain) if hashes else None
            first = next((model for model, other in models.items() if other["results"]), name)
            if name == first:
                self.first_compared[task.name] = measured.compared
            elif options.bootstrap and task.name in self.first_compared:
                found["difference"] = {"to": first} | {
                    metric: list(paired_bootstrap(100.0 * values, 100.0 * other, samples=options.bootstrap))
                    for (metric, values), other in zip(
                        measured.compared.items(), self.first_compared[task.name].values(), strict=True
                    )
                }
            entry["results"][task.name] = found
            entry["seconds"] = {part: entry["seconds"].get(part, 0) + spent for part, spent in measured.seconds.items()}
            self.folder.write()
            LOG.info(task_line(name, self.results["tasks"][task.name], found, measured.seconds["total"]))
            for note in (*found["truncated"], *found.get("notes", ())):
                LOG.warning(f"{name} on {task.name}: {note}")

    def _ranker_of_task(self, ranker: Any, task: RankingTask) -> tuple[Ranker, RankingTask]:
        """Returns the ranker for a task, and the task as it is asked: runs rank the ids of queries."""
        if isinstance(ranker, RunFile):
            return ranker.of_task(task), dataclasses.replace(task, queries=task.query_ids)
        return (NamesRanker(ranker, task, self.options.label_weight) if task.names else ranker), task

    def _run_writer(self, name: str, task: RankingTask) -> contextlib.AbstractContextManager[Keep | None]:
        if not self.options.save_runs:
            return contextlib.nullcontext()
        path = self.folder.of_model("runs", name) / f"{task.name}.trec"
        return run_writer(path, task, name, self.options.run_depth)

    def _skip(self, what: str, error: UserError) -> None:
        LOG.warning(f"Failed: {error}")
        self.first_failure = self.first_failure or str(error).partition("\n")[0]
        # In one line for the row of a table, and without the list of forms that a model may have.
        reason = " ".join(str(error).removesuffix(FORMS).split())
        self.results["skipped"].append({"task": what, "reason": reason})
