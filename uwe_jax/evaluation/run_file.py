"""Reads and writes TREC run files: rankings of a task as lines of query, Q0, target, rank, score and tag."""

from __future__ import annotations

import contextlib
import re
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from uwe_jax.evaluation.measure import Keep
from uwe_jax.evaluation.ranker import Score
from uwe_jax.evaluation.tasks.task import RankingTask
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import near_on_disk, replacing
from uwe_jax.sources.notes import noted, noted_of
from uwe_jax.sources.tables.problems import Problems, shorten
from uwe_jax.sources.tables.trec import RUN, trec_rows

SPEC = "run:"  # before the path, where models are named


def check_runs(paths: Sequence[Path], tasks: int, out: Path | None) -> None:
    """Raises UserError for runs that are measured on several tasks, or that the evaluation itself would remove."""
    if paths and tasks != 1:
        raise UserError(f"--run is a ranking of one task, and --tasks names {tasks}. Name that task alone.")
    for path in paths:
        if out and path.resolve().is_relative_to(out.resolve() / "runs"):
            raise UserError(
                f"--run {path} is among the runs of an earlier evaluation in {out}, which this one removes. Name "
                "another folder with --out."
            )


class RunFile:
    """The ranking that another system wrote, of one task.

    Its scores alone order the targets of a query, as in trec_eval; ranks are not read. Targets that it lacks come last.
    A `Ranker` for the queries and targets of that task alone, by their ids: see `of_task`.
    """

    def __init__(self, path: Path):
        """Reads the file; raises UserError for broken lines, scores that are no numbers, and repeated pairs."""
        if not path.is_file():
            raise UserError(f"Run {path} is not a file.{near_on_disk(path)} Name a run file as TREC has them.")
        self._path, problems = path, Problems(str(path))
        code_of: tuple[dict[str, int], dict[str, int]] = {}, {}  # of queries, of targets
        queries, targets, lines, scores, tags = array("i"), array("i"), array("i"), array("d"), set()
        for line, (query, _, target, _, score, tag) in trec_rows(path, path.name, RUN, problems):
            value = _number(score)
            if np.isnan(value):
                problems.add(self._place(line), f"score {shorten(score)}", "a number, higher for a better target")
                continue
            for codes, known, text in zip((queries, targets), code_of, (query, target), strict=True):
                codes.append(known.setdefault(text, len(known)))
            lines.append(line)
            scores.append(value)
            tags.add(tag)
        self._queries, self._targets = map(list, code_of)
        self._columns = [np.array(each) for each in (queries, targets, lines, scores)]
        self._check_pairs(problems)
        problems.check()
        if not lines:
            raise UserError(f"Run {path} is empty. Expected lines of {' '.join(RUN)}.")
        self.name = tags.pop() if len(tags) == 1 else path.name.partition(".")[0]
        self.description = f"run file {path.name}: {len(lines):,} targets of {len(self._queries):,} queries"

    def _place(self, line: Any) -> str:
        return f"{self._path.name}, line {line}"

    def _check_pairs(self, problems: Problems) -> None:
        """Sorts the lines by query and target, and adds a problem for each that repeats a pair."""
        order = np.lexsort((self._columns[1], self._columns[0]))  # stable: by line within a pair
        queries, targets, lines, _ = self._columns = [each[order] for each in self._columns]
        again = np.flatnonzero((np.diff(queries) == 0) & (np.diff(targets) == 0)) + 1
        for row in again[np.argsort(lines[again])].tolist():
            target, query = self._targets[targets[row]], self._queries[queries[row]]
            pair = f"target {shorten(target)} of query {shorten(query)} again"
            problems.add(self._place(lines[row]), pair, f"a pair once, as in line {lines[row - 1]}")

    def index(self, targets: Sequence[str]) -> Score:
        """Raises UserError: a run ranks ids, and not texts."""
        raise UserError(
            f"Run {self._path} ranks the ids of one task, and no other texts. Measure it with `uwe-jax evaluate --run`."
        )

    def of_task(self, task: RankingTask) -> RunOfTask:
        """Returns the ranker of a task; raises UserError if the run ranks other targets, or none of the queries."""
        places = np.array([task.target_ids.get(target, -1) for target in self._targets], np.int64)
        queries, targets, lines, scores = self._columns
        unknown, problems = np.flatnonzero(places[targets] < 0), Problems(str(self._path))
        for row in unknown[np.argsort(lines[unknown])].tolist():
            expected = f"an id of the {len(task.targets):,} targets of {task.title}"
            problems.add(self._place(lines[row]), f"target {shorten(self._targets[targets[row]])}", expected)
        problems.check()
        starts = np.searchsorted(queries, np.arange(len(self._queries) + 1))
        ranked = {query: slice(*starts[code : code + 2].tolist()) for code, query in enumerate(self._queries)}
        if not any(query in ranked for query in task.query_ids):
            raise UserError(
                f"Run {self._path} ranks none of the {len(task.query_ids):,} queries of {task.title}: its ids are such "
                f"as {shorten(next(iter(ranked)))}, the task's such as {shorten(task.query_ids[0])}. Name the task "
                "that was ranked with --tasks."
            )
        return RunOfTask(self.name, task, ranked, places[targets], scores)


class RunOfTask:
    """A run as a ranker of the queries of a task by their ids.

    Attributes:
      name: of the run.
      notes: phrases on queries and targets that the run lacks.
    """

    def __init__(self, name: str, task: RankingTask, ranked: dict[str, slice], places: np.ndarray, scores: np.ndarray):
        self.name = name
        self._ranked, self._places, self._scores = ranked, places, scores
        listed = np.array([len(np.unique(places[ranked.get(query, slice(0))])) for query in task.query_ids])
        n, there = len(task.targets), set(task.query_ids)
        missing = int(np.count_nonzero(listed == 0))
        fewest, most = listed[listed > 0].min(), listed.max()
        depth = f"{most:,}" if fewest == most else f"{fewest:,} to {most:,}"
        self.notes = [
            *([f"{depth} of {n:,} targets of a query are ranked; the others come last"] if fewest < n else []),
            *noted_of(missing, len(listed), "query", "not in the run, where all targets tie"),
            *noted(sum(query not in there for query in ranked), "query", "of the run not measured"),
        ]

    def index(self, targets: Sequence[str]) -> Score:
        """Returns the scores of queries given by their ids; minus infinity for the targets that the run lacks."""

        def score(queries: Sequence[str]) -> np.ndarray:
            scores = np.full((len(queries), len(targets)), -np.inf)
            for row, query in zip(scores, queries, strict=True):
                if found := self._ranked.get(query):
                    np.maximum.at(row, self._places[found], self._scores[found])  # joined targets have several ids
            return scores

        return score


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan


@contextlib.contextmanager
def run_writer(path: Path, task: RankingTask, tag: str, depth: int) -> Iterator[Keep]:
    """Opens a run file for writing, and replaces an earlier one where all goes well.

    Fields are separated by tabs, since ids may hold spaces. Targets of equal score are ordered by position; those of
    minus infinity are left out.

    Args:
      tag: names the system; white space in it becomes underscores.
      depth: of the ranking of a query; 0 writes it whole.

    Yields:
      Function of the position of the first query of a chunk, and its scores [k, n].

    Raises:
      UserError: an id holds a tab or a line end.
    """
    if split := next((each for each in (*task.query_ids, *task.corpus_ids) if re.search(r"[\t\r\n]", each)), None):
        raise UserError(f"{task.title} has the id {shorten(split)}. Runs cannot hold tabs and line ends: rename it.")
    tag = re.sub(r"\s+", "_", tag.strip())
    with replacing(path, "w", encoding="utf-8") as file:

        def keep(start: int, scores: np.ndarray) -> None:
            # In as many digits as tell all scores of their precision apart.
            digits = "{:.9g}".format if scores.dtype in (np.float16, np.float32) else repr
            for query, row in zip(task.query_ids[start : start + len(scores)], scores.astype(np.float64), strict=True):
                order = np.argsort(-row, kind="stable")[: depth or None]
                order = order[row[order] > -np.inf]
                file.writelines(
                    f"{query}\tQ0\t{task.corpus_ids[target]}\t{rank}\t{digits(value)}\t{tag}\n"
                    for rank, (target, value) in enumerate(zip(order.tolist(), row[order].tolist(), strict=True), 1)
                )

        yield keep
