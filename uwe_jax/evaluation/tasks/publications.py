"""Reads publications of several tables, such as queries and corpus: files in the user's folders, else the hub."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from uwe_jax.evaluation.tasks.task import TaskDataMissing, TaskSources
from uwe_jax.sources.folders import DEPTH, files_in, only_copy, table_root
from uwe_jax.sources.hub.dataset import DataMissing, HubDataset, load_hub_rows
from uwe_jax.sources.hub.download import files_of_split
from uwe_jax.sources.tables.chunk import Row
from uwe_jax.sources.tables.problems import Problems
from uwe_jax.sources.tables.reading import has_columns

Accepts = Callable[[str], bool]


def anywhere(root: str) -> bool:
    """Accepts tables in any folder."""
    return True


def find_tables(folder: Path, tables: Sequence[str], accepts: Accepts = anywhere) -> dict[str, list[Path]]:
    """Finds the files of some tables that are together in one folder; empty unless it has all of them.

    Args:
      folder: of the user, searched `DEPTH` levels deep; its own name may be a part of a table's path.
      tables: paths such as de/queries; see `table_root`.
      accepts: whether a folder, by its path from the user's on, may hold them.

    Raises:
      UserError: two folders hold them, with different content.
    """
    by_root: dict[str, dict[str, list[Path]]] = {}
    # Only folders with the name of the set are listed: of many sets most are not there.
    parent = tables[0].rpartition("/")[0]
    inner = (each for level in range(1, DEPTH + 1) for each in sorted(folder.glob("*/" * level)))
    for each in (folder, *inner):
        name = _named(folder, each)
        if f"/{parent}".rstrip("/") + "/" not in f"/{name}/" or "/." in name:
            continue
        for path in files_in(each, 0):
            for table in tables:
                if (root := table_root(_named(folder, path), table)) is not None and accepts(root):
                    by_root.setdefault(root, {}).setdefault(table, []).append(path)
    whole = [found for found in by_root.values() if len(found) == len(tables)]
    for table in tables if len(whole) > 1 else ():
        only_copy([found[table][0] for found in whole], folder, f"the table {table}")
    return whole[0] if whole else {}


def read_tables(
    datasets: Mapping[str, tuple[HubDataset, str]], sources: TaskSources, accepts: Accepts = anywhere
) -> tuple[dict[str, list[Row]], str]:
    """Reads tables of one repository, from the first folder that has them all in its layout, else from the hub.

    Args:
      datasets: the tables by any names, each with its split, or "" where it is not split.
      accepts: see `find_tables`.

    Returns:
      Rows by the names of `datasets`, and their origin.

    Raises:
      TaskDataMissing: found in no folder, and the hub is offline or does not answer.
      UserError: as of `find_tables`, or rows cannot be read.
    """
    asked = {name: (dataset, split or dataset.table.split("/")[-1]) for name, (dataset, split) in datasets.items()}
    for folder in sources.folders:
        found = find_tables(folder, [dataset.table for dataset, _ in asked.values()], accepts)
        files = {name: _of_split(*each, folder, found) for name, each in asked.items()}
        if all(files.values()):
            problems = Problems(str(folder))
            rows = {
                name: [row for file in files[name] for row in dataset.read(folder / file, file, problems)]
                for name, (dataset, _) in asked.items()
            }
            problems.check()
            first = next(iter(files.values()))[0]
            return rows, str(Path(first).parent)
    rows, origin = {}, ""
    try:
        for name, (dataset, split) in asked.items():
            rows[name], origin = load_hub_rows(dataset, split, sources.cache_dir, sources.offline)
    except DataMissing as error:
        raise TaskDataMissing(f"Not in {sources.listed}. {error}") from error
    return rows, origin


def _of_split(dataset: HubDataset, split: str, folder: Path, found: Mapping[str, Sequence[Path]]) -> list[str]:
    """Returns the files of a table's split that have its columns, relative to the folder."""
    paths = {
        Path(folder.absolute().name, path.relative_to(folder)).as_posix(): path for path in found.get(dataset.table, ())
    }
    chosen = [paths[name] for name in files_of_split([*paths], split, dataset.table)]
    return [str(path.relative_to(folder)) for path in chosen if has_columns(path, dataset.columns)]


def _named(folder: Path, path: Path) -> str:
    """Returns the path of a file from the user's folder on."""
    return Path(folder.absolute().name, path.absolute().relative_to(folder.absolute())).as_posix()
