"""A user's own ranking task: a folder with the files `queries`, `targets` and `relevant`.

| file | columns |
|---|---|
| queries | id, text |
| targets | id, text: the full target space |
| relevant | query_id, target_id: one relevant target of a query a row |

Each is a table of any format that is read. An optional `task.json` holds "title",
"query_kind" and "target_kind", for example {"title": "Courses", "query_kind": "vacancy", "target_kind": "skill"}.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from uwe_jax.data.text import normalise
from uwe_jax.evaluation.tasks.task import RankingTask, make_task
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.kinds import NODE_KINDS, SKILL
from uwe_jax.sources.folders import check_folder
from uwe_jax.sources.tables.formats import EXPECTED_FORMATS, table_format
from uwe_jax.sources.tables.problems import Problems, shorten
from uwe_jax.sources.tables.typed_rows import read_rows
from uwe_jax.sources.tables.values import half_pair, parse_json

TEXTS = {"id": "id", "text": "text"}
RELEVANT = {"query_id": "id", "target_id": "id"}
SETTINGS = "task.json"
# Free text that is matched with skills: what a model that knows no kinds is asked most.
DEFAULT_KINDS = ("vacancy", SKILL)

_EXPECTED = (
    f"queries and targets with the columns {', '.join(TEXTS)}, and relevant with {', '.join(RELEVANT)}, each in one "
    f"of {EXPECTED_FORMATS}"
)


def read_task_folder(path: Path | str) -> RankingTask:
    """The task in a folder; it is named like the folder, and not split.

    Every query is one of its own, also where two have the same text. Queries without a relevant target and equal
    targets are counted in the notes.

    Raises:
      UserError: no such folder, a missing file or column, rows without an id or a text, an id that is there twice, a
        relevant id that no query or no target has, fewer than two targets, or nothing to rank.
    """
    folder = Path(path).expanduser()
    check_folder(folder, f"Expected the folder of a ranking task: {_EXPECTED}.")
    title, kinds = _settings(folder)
    problems = Problems(str(folder))
    queries = _read_texts(folder, "queries", problems)
    targets = _read_texts(folder, "targets", problems)
    problems.check()  # or every row that names a broken one would be called broken as well
    relevant: dict[str, list[str]] = {number: [] for number in queries}
    for place, row in read_rows(
        *_file(folder, "relevant"), RELEVANT, problems, roles=dict(zip(RELEVANT, RELEVANT, strict=True))
    ):
        known = True
        for column, texts, kind in (("query_id", queries, "queries"), ("target_id", targets, "targets")):
            number = row[column].strip()
            if number not in texts:
                known = False
                problems.add(place, f"{column} {shorten(number)}", f"an id of the {len(texts):,} {kind}")
        if known:
            relevant[row["query_id"].strip()].append(targets[row["target_id"].strip()])
    problems.check()
    return make_task(
        task_name(folder),
        title,
        split="all",
        kinds=kinds,
        pairs=[(text, relevant[number]) for number, text in queries.items()],
        targets=targets.values(),
        origin=str(folder),
        merge_queries=False,
    )


def task_name(folder: Path) -> str:
    """The folder's own name, also of a path that ends in a dot."""
    return folder.expanduser().resolve().name


def _file(folder: Path, stem: str) -> tuple[Path, str]:
    """One of the task's files, and its name for messages."""
    found = [
        path
        for path in sorted(folder.iterdir())
        if (ending := table_format(path)) and path.name[: -len(ending)] == stem and path.is_file()
    ]
    if len(found) == 1:
        return found[0], f"{task_name(folder)}/{found[0].name}"
    holds = ", ".join(sorted(path.name for path in folder.iterdir())[:10]) or "nothing"
    two = f"two files for {stem}, {' and '.join(path.name for path in found)}" if found else f"no {stem} file"
    raise UserError(f"{folder} has {two}; it holds {holds}. Expected one of each: {_EXPECTED}.")


def _read_texts(folder: Path, stem: str, problems: Problems) -> dict[str, str]:
    """Text by id."""
    texts: dict[str, str] = {}
    places: dict[str, str] = {}
    for place, row in read_rows(
        *_file(folder, stem), TEXTS, problems, roles={"id": "id", "text": {"queries": "query"}.get(stem, "target")}
    ):
        number, text = row["id"].strip(), normalise(row["text"])
        if not number:
            problems.add(place, f"no id beside {shorten(text)}", "an id that no other row has")
        elif number in texts:
            problems.add(place, f"id {shorten(number)} again (first in {places[number]})", "an id once")
        elif not text:
            problems.add(place, f"an empty text for id {shorten(number)}", "a text")
        else:
            texts[number], places[number] = text, place
    return texts


def _settings(folder: Path) -> tuple[str, tuple[str, str]]:
    path = folder / SETTINGS
    keys = ("title", "query_kind", "target_kind")
    wanted = ", ".join(keys)
    found: Any = {}
    if path.is_file():
        try:
            found = parse_json(path.read_text(encoding="utf-8-sig"))
        except ValueError as error:
            raise UserError(f"{path} is no JSON ({error}). Expected an object with some of {wanted}.") from error
    known = isinstance(found, dict) and set(found) <= set(keys)
    if not known or not all(isinstance(value, str) and not half_pair(value) for value in found.values()):
        raise UserError(f"{path} holds {shorten(json.dumps(found))}. Expected some of {wanted}, each a text.")
    kinds = (found.get("query_kind", DEFAULT_KINDS[0]), found.get("target_kind", DEFAULT_KINDS[1]))
    for key, kind in zip(keys[1:], kinds, strict=True):
        if kind not in NODE_KINDS:
            raise UserError(f"{path} has {key} {kind!r}. Expected one of {', '.join(NODE_KINDS)}.")
    return normalise(found.get("title", "")) or task_name(folder), kinds
