"""Every task there is, by name, and the ones of a user."""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from uwe_jax.evaluation.tasks import annotated_tasks, esco_tasks, onet, skillskape
from uwe_jax.evaluation.tasks.folder import read_task_folder
from uwe_jax.evaluation.tasks.spec import TaskDataMissing, TaskSources, TaskSpec
from uwe_jax.evaluation.tasks.task import RankingTask
from uwe_jax.runtime.errors import UserError

# WorkBench first, in the order of its groups.
_WORKBENCH = (*esco_tasks.SPECS, *annotated_tasks.SPECS)
_ZERO_SHOT = (*skillskape.SPECS, *onet.SPECS)
CATALOGUE: dict[str, TaskSpec] = {spec.name: spec for spec in (*_WORKBENCH, *_ZERO_SHOT)}

SETS: dict[str, tuple[str, ...]] = {
    "workbench": tuple(spec.name for spec in _WORKBENCH),
    "zero_shot": tuple(spec.name for spec in _ZERO_SHOT),
    "all": tuple(CATALOGUE),
}

# In the order in which "any" takes them.
SPLITS = ("test", "validation", "all")


@dataclass(frozen=True)
class Skipped:
    """A task that was asked for and is not measured."""

    name: str
    reason: str  # one line


def choose(names: Sequence[str]) -> list[TaskSpec]:
    """The tasks of some names, each once, in the order asked for.

    Args:
      names: of tasks, of `SETS`, or folders with a task of the user's own (see `folder`). A name that is neither a
        task nor a set is a folder where it holds a path separator or such a folder exists.

    Raises:
      UserError: another name, or two tasks of one name.
    """
    chosen: dict[str, TaskSpec] = {}
    for name in names:
        if name in SETS or name in CATALOGUE:
            specs = [CATALOGUE[task] for task in SETS.get(name, (name,))]
        elif any(mark in name for mark in (os.sep, "/")) or Path(name).expanduser().is_dir():
            specs = [_folder_spec(Path(name).expanduser().resolve())]
        else:
            raise _unknown(name)
        for spec in specs:
            other = chosen.get(spec.name) or CATALOGUE.get(spec.name, spec)
            if other.where != spec.where:
                first = "one of the catalogue" if spec.name in CATALOGUE else other.where
                raise UserError(
                    f"Two tasks are named {spec.name}: {first}, and {spec.where}. Expected names of their own: rename "
                    "the folder, whose name is its task's."
                )
            chosen.setdefault(spec.name, spec)
    return list(chosen.values())


def load_tasks(specs: Sequence[TaskSpec], sources: TaskSources, split: str) -> tuple[list[RankingTask], list[Skipped]]:
    """Reads one split of each task.

    Args:
      specs: by `choose`.
      sources: where to look.
      split: test or validation; any takes test where it is there, else validation, with a note in the task. A task
        that its publisher does not split is read whole, whichever is asked for.

    Returns:
      The tasks, and those whose data or split is not there.

    Raises:
      UserError: another split, or data that is there and broken.
    """
    if split not in (*SPLITS, "any"):
        raise UserError(f"There is no split {split!r}. Expected one of any, {', '.join(SPLITS)}.")
    tasks: list[RankingTask] = []
    skipped: list[Skipped] = []
    for spec in specs:
        wanted = [each for each in SPLITS if each in spec.splits and (split in ("any", each) or each == "all")]
        reasons = [] if wanted else [f"Its publisher has no {split} split, only {', '.join(spec.splits)}."]
        for each in wanted:
            try:
                task = spec.load(sources, each)
            except TaskDataMissing as error:
                reasons.append(str(error))
                continue
            if reasons:
                note = f"the {each} split, as the {wanted[0]} split is not there"
                task = dataclasses.replace(task, notes=(note, *task.notes))
            tasks.append(task)
            break
        else:
            # Of several splits the one wanted most; one line, as a table's row takes it.
            skipped.append(Skipped(spec.name, " ".join(reasons[0].split())))
    return tasks, skipped


def _folder_spec(folder: Path) -> TaskSpec:
    # Read at once: a name, title and kinds that only the files say, and a typing error is told before anything runs.
    task = read_task_folder(folder)
    return TaskSpec(
        name=task.name,
        title=task.title,
        group="",
        kinds=(task.query_kind, task.target_kind),
        splits=("all",),
        load=lambda sources, split: task,
        where=str(folder),
    )


def _unknown(name: str) -> UserError:
    known = [*SETS, *CATALOGUE]
    near = difflib.get_close_matches(name, known, 1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return UserError(
        f"There is no task {name!r}.{hint} Expected a set ({', '.join(SETS)}), a task ({', '.join(CATALOGUE)}), or "
        "a folder with a task of your own."
    )
