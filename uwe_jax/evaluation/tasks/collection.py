"""Published collections of annotated rows: a file in the user's folders, else the publisher's own on the hub."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from uwe_jax.evaluation.tasks.spec import DEPTH, TaskDataMissing, TaskSources
from uwe_jax.sources.folders import files_in, only_copy
from uwe_jax.sources.hub.dataset import hub_origin, load_hub_rows
from uwe_jax.sources.hub.declaration import DataMissing, HubDataset
from uwe_jax.sources.hub.split_names import stated_split
from uwe_jax.sources.tables.formats import table_format
from uwe_jax.sources.tables.problems import Problems
from uwe_jax.sources.tables.typed_rows import Row, has_columns, read_rows


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
      split: of a file whose name and folders say none; empty leaves such a file alone. Where there is a `layout`, of
        a file in it alone: a copy of the hub's may be of any split.
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
        rows = load_hub_rows(collection.hub, split, sources.cache_dir, sources.offline)
        return Rows(rows, hub_origin(collection.hub, split, sources.cache_dir), None)
    except DataMissing as error:
        named = f" whose name says {collection.word!r}" if collection.word else ""
        columns = " or ".join(", ".join(layout) for layout in reversed(_layouts(collection)))
        raise TaskDataMissing(
            f"No file with the columns {columns}{named} holds the {split} split, by its name or its folder's, in "
            f"{sources.listed}. {error}"
        ) from error


def _layouts(collection: Collection) -> list[Mapping[str, str]]:
    return [layout for layout in (collection.hub.columns, collection.layout) if layout]


def _only_file(collection: Collection, split: str, folder: Path) -> Path | None:
    found = [
        path for path in files_in(folder, DEPTH) if table_format(path) and _belongs(collection, split, path, folder)
    ]
    return only_copy(found, folder, f"the {split} split of {collection.hub.repo}")


def _belongs(collection: Collection, split: str, path: Path, folder: Path) -> bool:
    inside = [path.stem, *(part.name for part in path.relative_to(folder).parents)]
    if collection.word and _stated_word([*inside, folder.name], collection.words) != collection.word:
        return False
    # A folder that the user names may be called anything, so its name says no split; nor does the repository's own
    # name, which may hold a word such as evaluation.
    repo = collection.hub.repo.split("/")[-1].casefold()
    stated = stated_split(name.casefold().replace(repo, "") for name in inside)
    if stated:
        return stated == split and any(has_columns(path, layout) for layout in _layouts(collection))
    return collection.split == split and has_columns(path, _layouts(collection)[-1])


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
