"""A copy of a dataset of the hub in a folder of the user, for machines that do not reach it."""

from __future__ import annotations

from pathlib import Path

from uwe_jax.sources.folders import DEPTH, files_in
from uwe_jax.sources.hub.declaration import HubDataset
from uwe_jax.sources.hub.download import files_of_split
from uwe_jax.sources.tables.problems import Problems
from uwe_jax.sources.tables.typed_rows import Row, read_rows


def find_copy(dataset: HubDataset, folder: Path) -> Path | None:
    """The folder that is named like the repository, as a clone is; None where there is none.

    Args:
      dataset: wanted.
      folder: of the user, looked into as deep as `DEPTH`; it may be the copy itself.
    """
    name = dataset.repo.split("/")[-1].casefold()
    folders = [
        folder.absolute(),
        *(path for level in range(1, DEPTH + 1) for path in sorted(folder.glob("*/" * level))),
    ]
    return next((path for path in folders if path.name.casefold() == name), None)


def read_copy(dataset: HubDataset, split: str, copy: Path) -> list[Row] | None:
    """The rows of one split, from the files that the hub would give; None where the copy has no such split.

    Raises:
      UserError: a missing column, or rows that are not as declared.
    """
    names = [str(path.relative_to(copy)) for path in files_in(copy, DEPTH)]
    problems = Problems(str(copy))
    files = files_of_split(names, split)
    rows = [row for name in files for _, row in read_rows(copy / name, name, dataset.columns, problems)]
    problems.check()
    return rows if files else None
