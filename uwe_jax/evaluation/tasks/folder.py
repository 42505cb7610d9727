"""Reads a user's own ranking task: a folder with the files `queries`, `targets` and `relevant`.

| file | columns |
|---|---|
| queries | id, text |
| targets | id, text: the full target space; rows that repeat an id, and a column `names`, hold further names, and a \
column `description` a description |
| relevant | query_id, target_id[, grade or score]: one target of a query per row. With grades, whole numbers from 0, \
relevance is graded; else a target is relevant unless its score is 0 or less |

Each is a table of any supported format. An optional `task.json` holds "title", "query_kind", "target_kind" and the
"threshold" from which on binary metrics count a grade, for example {"title": "Courses", "query_kind": "vacancy",
"target_kind": "skill", "threshold": 2}.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from uwe_jax.data.text import normalise
from uwe_jax.evaluation.tasks.grades import EXPECTED_GRADE, MAX_GRADE, read_grade
from uwe_jax.evaluation.tasks.qrels import Qrels
from uwe_jax.evaluation.tasks.task import TaskContent, TaskSources, TaskSpec
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.json_file import read_json
from uwe_jax.runtime.kinds import NODE_KINDS, SKILL
from uwe_jax.sources.folders import check_folder
from uwe_jax.sources.notes import noted
from uwe_jax.sources.tables.formats import EXPECTED_FORMATS, table_format
from uwe_jax.sources.tables.problems import Problems, shorten
from uwe_jax.sources.tables.reading import read_rows
from uwe_jax.sources.tables.values import ANY, half_pair

TEXTS = {"id": "id", "text": "text"}
RELEVANT = {"query_id": "id", "target_id": "id"}
# Free text matched with skills is the most frequent use of a model that knows no kinds.
DEFAULTS = {"title": "", "query_kind": "vacancy", "target_kind": SKILL, "threshold": 1}

_EXPECTED = (
    f"queries and targets with the columns {', '.join(TEXTS)}, and relevant with {', '.join(RELEVANT)}, each in one "
    f"of {EXPECTED_FORMATS}"
)


def task_folder(folder: Path) -> TaskSpec:
    """Reads the task in a folder; it has the folder's name, and is not split.

    Its files are read at once, so that broken ones are reported before anything runs. Queries of equal text are
    separate queries. Queries without a relevant target and equal targets are counted in the notes.

    Raises:
      UserError: no such folder, a missing file or column, rows without an id or a text, a repeated id, a relevant id
        that no query or no target has, fewer than two targets, or nothing to rank.
    """
    check_folder(folder, f"Expected the folder of a ranking task: {_EXPECTED}.")
    settings = read_settings(folder)
    problems = Problems(str(folder))
    queries = read_texts(task_file(folder, "queries"), "query", problems)
    further = Further({}, {})
    targets = read_texts(task_file(folder, "targets"), "target", problems, further)
    problems.check()  # else every row that refers to a broken one would be reported too
    qrels = Qrels(queries, targets, problems)
    irrelevant = _read_relevant(folder, qrels, problems)
    problems.check()
    name = folder.resolve().name  # also of a path that ends in a dot
    content = TaskContent(
        targets=targets.values(),
        origin=str(folder),
        notes=noted(irrelevant, "row", "with a score of 0 or less left out"),
        merge_queries=False,
        threshold=settings["threshold"],
        **further.of(targets),
        **qrels.content(),
    )
    kinds = (settings["query_kind"], settings["target_kind"])
    title = normalise(settings["title"]) or name
    spec = TaskSpec(
        name, title, "", kinds, ("all",), lambda sources, _: further_if_asked(content, sources), str(folder)
    )
    spec.load(TaskSources((), folder), "all")  # reports what cannot be ranked
    return spec


class Further(NamedTuple):
    """Further texts of targets by their ids."""

    names: dict[str, list[str]]
    descriptions: dict[str, list[str]]

    def of(self, targets: Mapping[str, str]) -> dict[str, Any]:
        """Returns `names` and `descriptions` of `TaskContent`, given the labels by id."""
        return {
            what: [(targets[number], texts) for number, texts in found.items()]
            for what, found in self._asdict().items()
        }


def further_if_asked(content: TaskContent, sources: TaskSources) -> TaskContent:
    """Returns the content, with the number of further texts of targets instead of these, unless the sources ask."""
    for what, noun in (("names", "further name"), ("descriptions", "description")):
        if not getattr(sources, what):
            unused = noted(sum(len([*texts]) for _, texts in getattr(content, what)), noun, "of targets not used")
            left_out: dict[str, Any] = {what: (), "notes": [*content.notes, *unused]}
            content = dataclasses.replace(content, **left_out)
    return content


def _read_relevant(folder: Path, qrels: Qrels, problems: Problems) -> int:
    """Reads judgements by grade, else by score; returns the number of rows that a score makes irrelevant."""
    roles, optional, irrelevant = {key: key for key in RELEVANT}, {"grade": ANY, "score": ANY}, 0
    graded = None
    for place, row in read_rows(*task_file(folder, "relevant"), RELEVANT, problems, optional=optional, roles=roles):
        query, target = (row[column].strip() for column in RELEVANT)
        column = "score" if row["grade"] is None else "grade"
        if graded not in (None, column == "grade"):
            problems.add(place, "no grade" if graded else "a grade", "a grade in all rows or in none")
            continue
        graded = column == "grade"
        grade = read_grade(row[column]) if graded else _number(row[column])
        if grade is None or math.isnan(grade) or (graded and grade < 0):
            expected = EXPECTED_GRADE if graded else "a number"
            problems.add(place, f"{column} {shorten(str(row[column]))}", expected)
            continue
        known = qrels.knows(place, query, target)
        irrelevant += not graded and grade <= 0
        if known and (graded or grade > 0):
            qrels.add(query, target, int(grade) if graded else 1)
    return irrelevant


def _number(score: Any) -> float:
    """Converts a score, 1 where a row has none; NaN for what is no number."""
    try:
        return 1.0 if score is None else float(score)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def task_file(folder: Path, stem: str, expected: str = _EXPECTED) -> tuple[Path, str]:
    """Finds one of the task's files, and returns its path and its name for messages."""
    paths = sorted(folder.iterdir())
    found = [path for path in paths if stem_of(path) == stem and path.is_file()]
    if len(found) == 1:
        return found[0], f"{folder.resolve().name}/{found[0].name}"
    holds = ", ".join(path.name for path in paths[:10]) or "nothing"
    two = f"two files for {stem}, {' and '.join(path.name for path in found)}" if found else f"no {stem} file"
    raise UserError(f"{folder} has {two}; it holds {holds}. Expected one of each: {expected}.")


def stem_of(path: Path) -> str:
    """Returns the name of a table without its ending; "" for a file of another format."""
    ending = table_format(path)
    return path.name[: -len(ending)] if ending else ""


def read_texts(
    file: tuple[Path, str],
    role: str,
    problems: Problems,
    further: Further | None = None,
    parts: Sequence[str] = (),
) -> dict[str, str]:
    """Reads texts by id, in their order.

    Args:
      file: its path, and its name for messages.
      role: of the column `text`, of `NAMES`.
      further: takes further texts of an id, its column `names` and its `description`; None refuses them.
      parts: columns that make up a text, any of which may be missing, instead of `text`.
    """
    texts: dict[str, str] = {}
    places: dict[str, str] = {}
    optional = ({} if further is None else {"names": "list", "description": "text"}) | dict.fromkeys(parts, "text")
    roles = {"id": "id", "names": "aliases"} | ({} if parts else {"text": role})
    columns = {"id": "id"} if parts else TEXTS
    for place, row in read_rows(*file, columns, problems, optional=optional, roles=roles):
        number, text = row["id"].strip(), normalise(" ".join(row[part] for part in parts or ["text"]))
        if not number:
            problems.add(place, f"no id beside {shorten(text)}", "an id that no other row has")
        elif not text:
            problems.add(place, f"an empty text for id {shorten(number)}", "a text")
        elif number in texts and (further is None or text == texts[number]):
            expected = "an id once" if further is None else "an id once, or another name"
            problems.add(place, f"id {shorten(number)} again (first in {places[number]})", expected)
        else:
            again = [text] if number in texts else []
            texts.setdefault(number, text)
            places.setdefault(number, place)
            if further is None:
                continue
            if names := [*again, *(row["names"] or [])]:
                further.names.setdefault(number, []).extend(names)
            if about := normalise(row["description"] or ""):
                further.descriptions.setdefault(number, []).append(about)
    return texts


def read_settings(folder: Path, defaults: Mapping[str, Any] = DEFAULTS) -> dict[str, Any]:
    """Reads the settings of task.json, where there is one; raises UserError for others than those of `defaults`."""
    path = folder / "task.json"
    if not path.is_file():
        return dict(defaults)
    texts = [key for key, value in defaults.items() if isinstance(value, str)]
    expected = (
        f"Expected an object with some of {', '.join(texts)}, each a text, and threshold, a whole number from 1 to "
        f"{MAX_GRADE}."
    )
    found = read_json(path, expected)
    known = {
        key
        for key, value in found.items()
        if key in defaults and type(value) is type(defaults[key]) and not half_pair(value)
    }
    wrong = [key for key in found if key not in known or (key == "threshold" and not 0 < found[key] <= MAX_GRADE)]
    if wrong:
        raise UserError(f"{path} has an unknown or wrong {', '.join(map(shorten, wrong))}. {expected}")
    settings = dict(defaults) | found
    for key in ("query_kind", "target_kind"):
        if settings[key] not in NODE_KINDS:
            raise UserError(f"{path} has {key} {settings[key]!r}. Expected one of {', '.join(NODE_KINDS)}.")
    return settings
