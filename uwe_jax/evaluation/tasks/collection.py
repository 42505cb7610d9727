"""Reads published collections of annotated rows: a file in the user's folders, else the dataset on the hub."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from uwe_jax.evaluation.tasks.task import TaskDataMissing, TaskSources
from uwe_jax.sources.folders import DEPTH, files_in, only_copy, stated_split
from uwe_jax.sources.hub.dataset import DataMissing, HubDataset, load_hub_rows
from uwe_jax.sources.tables.chunk import Row
from uwe_jax.sources.tables.formats import table_format
from uwe_jax.sources.tables.problems import Problems
from uwe_jax.sources.tables.reading import has_columns, read_rows


@dataclass(frozen=True)
class Collection:
    """Rows of one publisher, in splits.

    Attributes:
      hub: the dataset on the hub, with its columns and their types.
      layout: another layout of the same rows in files: hub column by file column. The hub's other columns are "".
      words: tell apart collections of the same columns: the first that occurs in a file's or folder's name counts.
      word: the one of this collection.
      split: of a file whose name and folders state none; empty ignores such files. With a `layout`, it holds for files
        in that layout alone: a copy of the hub's may be of any split.
    """

    hub: HubDataset
    layout: Mapping[str, str] = field(default_factory=dict)
    words: Sequence[str] = ()
    word: str = ""
    split: str = ""

    def layouts(self) -> list[dict[str, str]]:
        """Returns the layouts of files, the hub's own last: hub column by file column."""
        own = {column: column for column in self.hub.columns}
        return [dict(self.layout), own] if self.layout else [own]


class Rows(NamedTuple):
    """Rows of a collection, by the hub's columns; `path` is None for those from the hub."""

    rows: Sequence[Row]
    origin: str
    path: Path | None


def read_collection(collection: Collection, split: str, sources: TaskSources) -> Rows:
    """Reads one split of a collection, from the first folder that holds it, else from the hub.

    Raises:
      TaskDataMissing: not found in any folder, and the hub is offline or does not answer.
      UserError: two different files hold it, or rows cannot be read.
    """
    hub = collection.hub
    for folder in sources.folders:
        tables = [path for path in files_in(folder, DEPTH) if table_format(path)]
        found = [path for path in tables if _belongs(collection, split, path, folder)]
        if path := only_copy(found, folder, f"the {split} split of {hub.repo}"):
            return Rows(_read_file(collection, path, folder), str(path.relative_to(folder)), path)
    try:
        return Rows(*load_hub_rows(hub, split, sources.cache_dir, sources.offline), None)
    except DataMissing as error:
        named = f" whose name says {collection.word!r}" if collection.word else ""
        columns = " or ".join(map(", ".join, collection.layouts()))
        raise TaskDataMissing(
            f"No file with the columns {columns}{named} holds the {split} split, by its name or its folder's, in "
            f"{sources.listed}. {error}"
        ) from error


def _belongs(collection: Collection, split: str, path: Path, folder: Path) -> bool:
    inside = [path.stem, *(part.name for part in path.relative_to(folder).parents)]
    if collection.word and _stated_word([*inside, folder.name], collection.words) != collection.word:
        return False
    # The name of the user's own folder states no split; nor does the repository's, which may hold a word such as
    # evaluation.
    repo = collection.hub.repo.split("/")[-1].casefold()
    stated = stated_split(name.casefold().replace(repo, "") for name in inside)
    if stated:
        return stated == split and any(has_columns(path, layout) for layout in collection.layouts())
    return collection.split == split and has_columns(path, collection.layouts()[0])


def _stated_word(names: Sequence[str], words: Sequence[str]) -> str:
    """Returns the first of the words in the innermost name with any, else ""."""
    parts = (set(re.findall("[a-z]+", name.casefold())) for name in names)
    return next((word for found in parts for word in words if word in found), "")


def _read_file(collection: Collection, path: Path, folder: Path) -> list[Row]:
    problems = Problems(str(folder))
    columns = collection.hub.columns
    # The hub's own layout first: a file may have the columns of both.
    names = next(layout for layout in reversed(collection.layouts()) if has_columns(path, layout))
    types = {column: columns[name] for column, name in names.items()}
    blank: Row = dict.fromkeys(columns, "")
    rows = [
        blank | {names[column]: value for column, value in row.items()}
        for _, row in read_rows(path, str(path.relative_to(folder)), types, problems)
    ]
    problems.check()
    return rows
