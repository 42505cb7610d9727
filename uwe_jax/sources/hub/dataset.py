"""Datasets on the Hugging Face hub: downloaded once, then read from a prepared TFDS dataset; or a local copy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.folders import DEPTH, files_in
from uwe_jax.sources.tables.chunk import Row
from uwe_jax.sources.tables.problems import Problems
from uwe_jax.sources.tables.reading import read_rows


class DataMissing(UserError):
    """A dataset is neither prepared nor available from the hub. The text is one line: what was tried, what to do."""


@dataclass(frozen=True)
class HubDataset:
    """A table of a dataset of the hub, and its columns to read.

    Attributes:
      repo: such as TechWolf/SkillMatch-1K.
      columns: wanted, each with its kind: text, texts (a list of them), int, ints, float, id or json (the text of any
        JSON value).
      table: path of the table in a repository of several, such as de/queries; see `in_table`.
      at_least: rows with a lower value in one of these columns are left out.
    """

    repo: str
    columns: Mapping[str, str]
    table: str = ""
    at_least: tuple[tuple[str, float], ...] = ()

    @property
    def page(self) -> str:
        return f"https://huggingface.co/datasets/{self.repo}"

    def keeps(self, row: Row) -> bool:
        """Returns whether a row has at least the values of `at_least`."""
        return all(row[column] >= least for column, least in self.at_least)

    def read(self, path: Path, name: str, problems: Problems) -> list[Row]:
        """Reads the rows of a file that are kept; arguments and errors are those of `read_rows`."""
        return [row for _, row in read_rows(path, name, self.columns, problems) if self.keeps(row)]


def load_hub_rows(dataset: HubDataset, split: str, cache_dir: Path, offline: bool = False) -> tuple[list[Row], str]:
    """Returns the rows of one split, in the order of its files, and their source, as in ORG/NAME at 7d5a26014e88.

    The first call downloads and prepares them, in a folder named by the repository's commit. Later calls read that
    folder and do not ask the hub, so they miss later commits: remove the folder to download the newest.

    Args:
      dataset: the repository and its columns.
      split: train, validation or test; of a `table` that is not split, its name.
      cache_dir: prepared rows go into its folder tfds.
      offline: never ask the hub.

    Raises:
      DataMissing: not prepared, and the hub does not answer in seconds, refuses, or has no such split.
      UserError: the files are not as declared, or the cache cannot be written or read.
    """
    # Imported here: TFDS takes most of a second.
    from uwe_jax.sources.hub.builder import HubRows, find_prepared
    from uwe_jax.sources.prepared import prepare

    data_dir = cache_dir / "tfds"
    prepared = find_prepared(dataset, split, data_dir)
    if prepared is None:
        revision, rows = _download(dataset, split, cache_dir, offline)
        prepared = HubRows(dataset, split, revision, data_dir, rows)
        prepare(prepared)
    return prepared.rows(), f"{dataset.repo} at {prepared.revision[:12]}"


def _download(dataset: HubDataset, split: str, cache_dir: Path, offline: bool) -> tuple[str, list[Row]]:
    """Returns the commit of the repository, and the rows of a split."""
    from uwe_jax.sources.hub.download import Unreachable, download_split

    try:
        revision, files = download_split(dataset.repo, split, offline, dataset.table)
    except Unreachable as error:
        what = dataset.repo if dataset.table else f"{dataset.repo} ({split})"
        raise DataMissing(
            f"{what} is not prepared in {cache_dir} and cannot be downloaded: {error}. "
            f"Run again where the hub answers, or put a copy of {dataset.page} into one of your data folders."
        ) from error
    problems, rows = Problems(f"{dataset.page} at {revision}"), []
    for name, path in files:
        rows += dataset.read(path, f"{dataset.repo} {name}", problems)
    problems.check()
    if not rows:
        raise UserError(
            f"{dataset.repo} ({split}) has 0 rows in {', '.join(name for name, _ in files)}. Expected at least one: "
            f"look at {dataset.page}, or put an older copy of it into one of your data folders."
        )
    return revision, rows


def find_copy(dataset: HubDataset, folder: Path) -> Path | None:
    """Finds a folder named like the repository, as a clone is: the user's folder or one up to `DEPTH` levels below."""
    name = dataset.repo.split("/")[-1].casefold()
    below = (path for level in range(1, DEPTH + 1) for path in sorted(folder.glob("*/" * level)))
    return next((path for path in (folder.absolute(), *below) if path.name.casefold() == name), None)


def read_copy(dataset: HubDataset, split: str, copy: Path) -> list[Row] | None:
    """Reads the rows of a split from the same files as from the hub; None if the copy lacks the split.

    Raises:
      UserError: a missing column, or rows that are not as declared.
    """
    from uwe_jax.sources.hub.download import files_of_split

    files = files_of_split([str(path.relative_to(copy)) for path in files_in(copy, DEPTH)], split)
    problems = Problems(str(copy))
    rows = [row for name in files for row in dataset.read(copy / name, name, problems)]
    problems.check()
    return rows if files else None
