"""Catalogue of tasks by name, and the user's own task folders."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from uwe_jax.evaluation.tasks import annotated_tasks, esco_tasks, freelancer_tasks, graded_tasks, onet
from uwe_jax.evaluation.tasks.beir import beir_task, is_beir
from uwe_jax.evaluation.tasks.folder import task_folder
from uwe_jax.evaluation.tasks.given import as_spec
from uwe_jax.evaluation.tasks.languages import Pair, pair_of_task
from uwe_jax.evaluation.tasks.multilingual_tasks import JOB_TITLE_SIMILARITY, MELO_SPECS, MELS_SPECS
from uwe_jax.evaluation.tasks.task import RankingTask, TaskDataMissing, TaskSources, TaskSpec
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import near_on_disk
from uwe_jax.runtime.settings import did_you_mean

# WorkBench first, in the order of its groups.
_WORKBENCH = (*esco_tasks.SPECS, *annotated_tasks.SPECS)
_ZERO_SHOT = (annotated_tasks.SKILLSKAPE, *onet.SPECS)
# Tasks of WorkRB 0.6 that WorkBench does not have.
_WORKRB = (
    *(annotated_tasks.SKILL_XL, annotated_tasks.SKILLSKAPE, JOB_TITLE_SIMILARITY),
    *(*freelancer_tasks.SPECS, *graded_tasks.SPECS),
)
CATALOGUE: dict[str, TaskSpec] = {spec.name: spec for spec in (*_WORKBENCH, *_ZERO_SHOT, *_WORKRB)}
# MELO and MELS have 56 sets, too many for the set of all tasks.
EVERY: dict[str, TaskSpec] = CATALOGUE | {spec.name: spec for spec in (*MELO_SPECS, *MELS_SPECS)}

SETS: dict[str, tuple[str, ...]] = {
    name: tuple(spec.name for spec in specs)
    for name, specs in (
        ("workbench", _WORKBENCH),
        ("zero_shot", _ZERO_SHOT),
        ("graded", graded_tasks.SPECS),
        ("freelancers", freelancer_tasks.SPECS),
        ("melo", MELO_SPECS),
        ("mels", MELS_SPECS),
        ("workrb", (*_WORKBENCH, *_WORKRB, *MELO_SPECS, *MELS_SPECS)),
        ("all", CATALOGUE.values()),
    )
}

# In the order in which "any" takes them.
SPLITS = ("test", "validation", "all")


class SkippedTask(NamedTuple):
    """A task that is not measured: its name in results, why, its name in the catalogue, and the languages asked for."""

    task: str
    reason: str
    spec: str
    languages: str = ""

    def to_dict(self) -> dict[str, str]:
        """Returns it as in `skipped` of results.json."""
        return {"task": self.task, "reason": self.reason}


def choose(tasks: Sequence[Any]) -> list[TaskSpec]:
    """Looks up tasks by name, each once, in order; raises UserError for another name, or two tasks of one name.

    Args:
      tasks: names of tasks, of `SETS`, folders with a task of the user's own (see `folder` and `beir`), qrels in a BEIR
        folder, or tasks themselves. A name that is neither a task nor a set is a folder where it holds a path
        separator or such a folder exists.
    """
    chosen: dict[str, TaskSpec] = {}
    for each in tasks:
        if isinstance(each, TaskSpec | RankingTask):
            spec = as_spec(each) if isinstance(each, RankingTask) else each
            if chosen.setdefault(spec.name, spec) != spec:
                raise UserError(f"Two tasks are named {spec.name}. Names must be unique: rename one.")
            continue
        if not isinstance(each, str | Path):
            raise UserError(
                f"A task is of type {type(each).__name__}. Give its name, a folder, or a task (`ranking_task`)."
            )
        name = str(each)
        if name in SETS or name in EVERY:
            specs = [EVERY[task] for task in SETS.get(name, (name,))]
        elif isinstance(each, Path) or any(mark in name for mark in (os.sep, "/")) or Path(name).expanduser().is_dir():
            specs = [_own_task(Path(name).expanduser().resolve())]
        else:
            near = did_you_mean(name, [*SETS, *EVERY]) or near_on_disk(name)
            raise UserError(
                f"There is no task {name!r}.{near} Expected a set ("
                f"{', '.join(SETS)}), a task ({', '.join(CATALOGUE)}, or one of MELO and MELS such "
                f"as {MELO_SPECS[0].name}), or a folder with a task of your own."
            )
        for spec in specs:
            other = chosen.get(spec.name) or EVERY.get(spec.name, spec)
            if other.where != spec.where:
                first = "one of the catalogue" if spec.name in EVERY else other.where
                raise UserError(
                    f"Two tasks are named {spec.name}: {first}, and {spec.where}. Names must be unique: rename the "
                    "folder, whose name is its task's."
                )
            chosen.setdefault(spec.name, spec)
    return list(chosen.values())


def _own_task(path: Path) -> TaskSpec:
    if path.is_file() and path.parent.name == "qrels":
        return beir_task(path.parent.parent, path)
    return beir_task(path) if is_beir(path) else task_folder(path)


def load_tasks(
    specs: Sequence[TaskSpec], sources: TaskSources, split: str, languages: Sequence[Pair] = ()
) -> tuple[list[RankingTask], list[SkippedTask]]:
    """Reads one split of each task in each language; raises UserError for broken data.

    A task in other languages than English has them behind its name and title.

    Args:
      languages: see `pair_of_task`; without any, those of `sources`.
      split: test, validation or train; any takes test where it is available, else validation, with a note in the task,
        else the only one. A task that is not split is read whole.

    Returns:
      The tasks, and those whose data or split is not available.
    """
    tasks: list[RankingTask] = []
    skipped: list[SkippedTask] = []
    asked = languages or [Pair(sources.asked_in, sources.language)]
    for spec, pair, lacking in variants(specs, asked):
        suffix = "" if spec.family else pair.suffix
        name, asked_in = spec.name + suffix, "" if spec.family else str(pair)
        if lacking:
            skipped.append(SkippedTask(name, lacking, spec.name, asked_in))
            continue
        there = ", ".join(spec.splits)
        if split == "any":
            wanted = [each for each in SPLITS if each in spec.splits] or [*spec.splits][: len(spec.splits) == 1]
            reasons = [] if wanted else [f"Its splits are {there}: name the qrels of one with --tasks."]
        else:
            wanted = [each for each in spec.splits if each in (split, "all")]
            reasons = [] if wanted else [f"Its publisher has no {split} split, only {there}."]
        for each in wanted:
            try:
                task = spec.load(in_languages(sources, pair), each)
            except TaskDataMissing as error:
                reasons.append(str(error))
                continue
            if suffix:
                task = dataclasses.replace(task, name=name, title=f"{task.title} ({pair})")
            if any(pair):
                task = dataclasses.replace(task, family=spec.family or spec.name, languages=pair)
            if reasons:
                note = f"the {each} split, as the {wanted[0]} split is not there"
                task = dataclasses.replace(task, notes=(note, *task.notes))
            tasks.append(task)
            break
        else:
            # The reason for the preferred split, in one line for the row of a table.
            skipped.append(SkippedTask(name, " ".join(reasons[0].split()), spec.name, asked_in))
    return tasks, skipped


def variants(specs: Sequence[TaskSpec], asked: Sequence[Pair]) -> list[tuple[TaskSpec, Pair, str]]:
    """Returns each task in each pair of languages that it has of those asked for, and why not where it has not."""
    found = (
        (spec, Pair(*spec.languages), "") if spec.family else (spec, *pair_of_task(spec.languages, pair))
        for spec in specs
        for pair in asked
    )
    return list(dict.fromkeys(found))


def in_languages(sources: TaskSources, pair: Pair) -> TaskSources:
    """Returns the sources with the languages of queries and targets, if these are known."""
    return dataclasses.replace(sources, query_language=pair.query, language=pair.target) if any(pair) else sources
