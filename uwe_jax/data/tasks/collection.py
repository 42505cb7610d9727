"""Published collections of annotated rows: a file in the user's folders, else the publisher's own on the hub."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from uwe_jax.base.errors import UserError
from uwe_jax.data.problems import Problems
from uwe_jax.data.tasks.hub import HubDataset, hub_origin, load_hub_rows
from uwe_jax.data.tasks.places import files_in, stated_split
from uwe_jax.data.tasks.spec import TaskDataMissing, TaskSources
from uwe_jax.data.tasks.tables import FORMATS, Row, has_columns, read_rows


@dataclass(frozen=True)
class Collection:
    """Rows of one publisher, in a split each.

    Attributes:
      hub: the publisher's dataset, with its columns and their types.
      layout: another layout of the same rows in files: its columns, and which column of the hub's each is. Columns
        that it lacks are "" in its rows.
      words: in a file's or folder's name that tell collections of the same columns apart; the first that occurs
        counts. Empty where the columns say enough.
      word: the one of this collection.
      split: of a file whose name and folders say none; empty leaves such a file alone.
    """

    hub: HubDataset
    layout: Mapping[str, str] = field(default_factory=dict)
    words: Sequence[str] = ()
    word: str = ""
    split: str = ""


@dataclass(frozen=True)
class Rows:
    """What was read of a collection."""

    rows: Sequence[Row]  # by the hub's columns
    origin: str
    path: Path | None  # of the file; None where they are from the hub


def read_collection(collection: Collection, split: str, sources: TaskSources) -> Rows:
    """One split of a collection, from the first folder that holds it, else from the hub.

    Raises:
      TaskDataMissing: in no folder, and the hub is not to be asked or does not answer.
      UserError: two different files hold it, or rows that cannot be read.
    """
    for folder in sources.folders:
        path = _only_file(collection, split, folder)
        if path is not None:
            return Rows(_read_file(collection, path, folder), str(path.relative_to(folder)), path)
    try:
        rows = load_hub_rows(collection.hub, split, sources)
        return Rows(rows, hub_origin(collection.hub, split, sources), None)
    except TaskDataMissing as error:
        named = f" whose name says {collection.word!r}" if collection.word else ""
        columns = " or ".join(", ".join(layout) for layout in (collection.layout, collection.hub.columns) if layout)
        raise TaskDataMissing(
            f"No file with the columns {columns}{named} holds the {split} split in {_listed(sources.folders)}. {error}"
        ) from error


def _listed(folders: Sequence[Path]) -> str:
    return ", ".join(map(str, folders)) or "any folder: none was named"


def _only_file(collection: Collection, split: str, folder: Path) -> Path | None:
    found = [
        path
        for path in files_in(folder)
        if path.suffix.lower() in FORMATS and _belongs(collection, split, path, folder)
    ]
    if not found:
        return None
    first, *others = found
    if any(other.read_bytes() != first.read_bytes() for other in others):
        names = ", ".join(str(path.relative_to(folder)) for path in found)
        raise UserError(
            f"{len(found)} files in {folder} hold the {split} split of {collection.hub.repo}: {names}. Expected one: "
            "move the others elsewhere."
        )
    return first


def _belongs(collection: Collection, split: str, path: Path, folder: Path) -> bool:
    inside = [path.stem, *(part.name for part in path.relative_to(folder).parents)]
    if collection.word and _stated_word([*inside, folder.name], collection.words) != collection.word:
        return False
    # A folder that the user names may be called anything, so its name says no split; nor does the repository's own
    # name, which may hold a word such as evaluation.
    repo = collection.hub.repo.split("/")[-1].casefold()
    if (stated_split(name.casefold().replace(repo, "") for name in inside) or collection.split) != split:
        return False
    return any(has_columns(path, layout) for layout in (collection.hub.columns, collection.layout) if layout)


def _stated_word(names: Sequence[str], words: Sequence[str]) -> str:
    """The first of the words in the innermost name with any; "" where none has one."""
    for name in names:
        parts = set(re.findall("[a-z]+", name.casefold()))
        for word in words:
            if word in parts:
                return word
    return ""


def _read_file(collection: Collection, path: Path, folder: Path) -> list[Row]:
    problems = Problems(str(folder))
    name = str(path.relative_to(folder))
    columns = collection.hub.columns
    if has_columns(path, columns):
        rows = [row for _, row in read_rows(path, name, columns, problems)]
    else:
        blank: Row = dict.fromkeys(columns, "")
        types = {column: columns[other] for column, other in collection.layout.items()}
        rows = [
            blank | {collection.layout[column]: value for column, value in row.items()}
            for _, row in read_rows(path, name, types, problems)
        ]
    problems.check()
    return rows
