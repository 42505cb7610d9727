"""Judgements of an index's hits: from a file of pairs, or from ranking tasks."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from uwe_jax.data.text import normalise
from uwe_jax.evaluation.calibrate.options import CalibrateOptions
from uwe_jax.evaluation.tasks.catalogue import choose, load_tasks
from uwe_jax.evaluation.tasks.task import RankingTask, TaskSources
from uwe_jax.retrieval.queries_in import file_queries
from uwe_jax.retrieval.store.stored_targets import Index
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import cache_folder, data_folders, near_on_disk
from uwe_jax.scoring.statistics import fixed_sample
from uwe_jax.sources.notes import noted
from uwe_jax.sources.tables.problems import Problems, shorten
from uwe_jax.sources.tables.reading import read_rows
from uwe_jax.sources.tables.values import ANY

LOG = logging.getLogger(__name__)
LABELS = {"0": False, "1": True, "0.0": False, "1.0": True, "False": False, "True": True}


class Judged(NamedTuple):
    """A query and its targets, by their ids.

    Attributes:
      right: targets that are right.
      wrong: targets that are wrong; None where all others are.
    """

    query: str
    right: frozenset[str]
    wrong: frozenset[str] | None = None


def read_judgements(options: CalibrateOptions, index: Index) -> dict[str, list[Judged]]:
    """Reads all judgements of a command line, by the name of their file or task.

    Raises:
      UserError: a file is broken, names targets that the index lacks or labels other than 0 and 1, the data of a task
        is missing, or the index has none of its targets.
    """
    found: dict[str, list[Judged]] = {}
    for path in options.pairs:
        found[path.name] = _sampled(read_pairs(path, set(index.ids)), options.max_queries)
    for path in options.none:
        found[path.name] = _sampled(read_none(path), options.max_queries)
    folders, cache = data_folders(options.data), cache_folder(options.cache_dir)
    sources = TaskSources(folders, cache, options.esco_version)
    # The validation half first: test halves are for final figures.
    splits = ("validation", "any") if options.split == "any" else (options.split,)
    for spec in choose(options.tasks):
        for split in splits:
            tasks, skipped = load_tasks([spec], sources, split)
            if tasks:
                break
        else:
            raise UserError(f"The task {spec.name} cannot be read: {skipped[0].reason}")
        found[spec.name] = of_task(tasks[0].sample(options.max_queries), index)
    return found


def read_none(path: Path) -> list[Judged]:
    """Reads queries that have no right target from a file; raises UserError where one of them is refused."""
    judged = []
    for query in file_queries(path):
        if isinstance(query, UserError):
            raise UserError(f"--none {path}: {query}") from query
        judged += [Judged(query, frozenset())] if query else []
    return [*dict.fromkeys(judged)]


def read_scores(path: Path, judged: Mapping[str, Sequence[Judged]]) -> dict[str, Float[np.ndarray, " q"]]:
    """Reads a table of query and score, and returns the scores of all queries by the name of their set.

    Raises:
      UserError: the file is broken, or lacks queries.
    """
    problems, scores = Problems(str(path)), {}
    for place, row in read_rows(path, path.name, {"query": "text", "score": "float"}, problems):
        if np.isfinite(row["score"]):
            scores[normalise(row["query"])] = row["score"]
        else:
            problems.add(place, f"score {row['score']}", "a finite number")
    problems.check()
    every = [each.query for of_one in judged.values() for each in of_one]
    if lost := [query for query in every if normalise(query) not in scores]:
        raise UserError(
            f"--none-scores {path} lacks {len(lost):,} of {len(every):,} queries, such as {shorten(lost[0])}. "
            "Give a score of every query."
        )
    return {name: np.array([scores[normalise(each.query)] for each in of_one]) for name, of_one in judged.items()}


def _sampled(judged: list[Judged], most: int) -> list[Judged]:
    return [judged[k] for k in fixed_sample(len(judged), most)]


def read_pairs(path: Path, known: set[str]) -> list[Judged]:
    """Reads a table of query, target_id and, optional, label; `known` are the ids of the index.

    Raises:
      UserError: as of `read_judgements`.
    """
    if not path.is_file():
        raise UserError(f"--pairs {path} is not a file.{near_on_disk(path)} Name a table with query and target_id.")
    problems = Problems(str(path))
    judged: dict[str, dict[str, bool]] = {}
    labelled: set[bool] = set()
    optional, roles = {"label": ANY}, {"target_id": "target_id"}
    columns = {"query": "text", "target_id": "id"}
    for place, row in read_rows(path, path.name, columns, problems, optional=optional, roles=roles):
        query, target, value = normalise(row["query"]), row["target_id"].strip(), row["label"]
        right = True if value in (None, "") else LABELS.get(str(value).strip())
        labelled.add(value not in (None, ""))
        if not query:
            problems.add(place, "an empty query", "a text")
        elif target and target not in known:
            problems.add(place, f"target_id {shorten(target)}", f"an id of the {len(known):,} targets of the index")
        elif right is None:
            problems.add(place, f"label {shorten(str(value))}", "0 or 1")
        elif len(labelled) > 1:
            problems.add(place, f"label {shorten(str(value))}", "a label in all rows or in none")
        else:
            targets = judged.setdefault(query, {})
            if target and targets.setdefault(target, right) != right:
                problems.add(
                    place, f"label {int(right)} of a pair that is {int(not right)} above", "one label per pair"
                )
    problems.check()
    if not judged:
        raise UserError(f"{path} holds no pair. Expected rows with query, target_id and label.")
    return [
        Judged(
            query,
            frozenset(target for target, right in targets.items() if right),
            frozenset(target for target, right in targets.items() if not right) if True in labelled else None,
        )
        for query, targets in judged.items()
    ]


def of_task(task: RankingTask, index: Index) -> list[Judged]:
    """Returns the queries of a task with their right targets, which are found in the index by their labels.

    Raises:
      UserError: the index has none of them.
    """
    ids: dict[str, list[str]] = {}
    for number, text in zip(index.ids, index.texts, strict=True):
        ids.setdefault(text, []).append(number)
    of_targets = [ids.get(target, ()) for target in task.targets]
    offsets, columns = task.relevant.indptr, task.relevant.indices
    grades: Any = task.relevant.data
    right = [
        frozenset(
            number
            for at in range(offsets[k], offsets[k + 1])
            if grades[at] >= task.threshold
            for number in of_targets[columns[at]]
        )
        for k in range(len(task.queries))
    ]
    judged = [Judged(query, found) for query, found in zip(task.queries, right, strict=True) if found]
    if not judged:
        raise UserError(
            f"{task.title}: the index has none of the right targets of its {len(task.queries):,} queries, which are "
            f"texts such as {shorten(task.targets[0])}; the index has such as {shorten(index.texts[0])}. Build the "
            "index from the targets of the task, or name another task."
        )
    lost = noted(len(task.queries) - len(judged), "query", "whose right targets the index lacks left out")
    for note in (*task.notes, *lost):
        LOG.info(f"{task.title}: {note}.")
    return judged
