"""Datasets that their authors publish on the Hugging Face hub: downloaded once, then kept as a TFDS dataset."""

from __future__ import annotations

from pathlib import Path

from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.hub.declaration import DataMissing, HubDataset
from uwe_jax.sources.tables.problems import Problems
from uwe_jax.sources.tables.typed_rows import Row, read_rows


def load_hub_rows(dataset: HubDataset, split: str, cache_dir: Path, offline: bool = False) -> list[Row]:
    """The rows of one split, in the order of its files.

    The first time they are downloaded and prepared, in a folder that the repository's commit names. From then on
    they are read from there and the hub is not asked, so a later commit is not noticed: remove that folder to
    have the newest.

    Args:
      dataset: what is read.
      split: train, validation or test.
      cache_dir: prepared rows go into its folder tfds.
      offline: never ask the hub.

    Returns:
      Per row its columns: str, list[str] or int.

    Raises:
      DataMissing: not prepared, and the hub cannot be reached in seconds, refuses, or has no such split.
      UserError: the files are not as declared, or the cache cannot be written or read.
    """
    # imported where it is needed: TFDS takes most of a second, and the other tasks do without
    from uwe_jax.sources.hub.builder import find_prepared, prepare_rows

    data_dir = cache_dir / "tfds"
    prepared = find_prepared(dataset, split, data_dir)
    if prepared is None:
        revision, rows = _download(dataset, split, cache_dir, offline)
        prepared = prepare_rows(dataset, split, revision, data_dir, rows)
    return prepared.rows()


def hub_origin(dataset: HubDataset, split: str, cache_dir: Path) -> str:
    """What `load_hub_rows` has read, such as TechWolf/SkillMatch-1K at 7d5a26014e88."""
    from uwe_jax.sources.hub.builder import find_prepared

    prepared = find_prepared(dataset, split, cache_dir / "tfds")
    return f"{dataset.repo} at {prepared.revision[:12]}" if prepared else dataset.repo


def _download(dataset: HubDataset, split: str, cache_dir: Path, offline: bool) -> tuple[str, list[Row]]:
    """The commit of the repository, and the rows of one of its splits."""
    from uwe_jax.sources.hub.download import Unreachable, download_split

    try:
        revision, files = download_split(dataset.repo, split, offline)
    except Unreachable as error:
        raise DataMissing(
            f"{dataset.repo} ({split}) is not prepared in {cache_dir} and cannot be downloaded: {error}. "
            f"Run again where the hub answers, or put a copy of {dataset.page} into one of your data folders."
        ) from error
    problems = Problems(f"{dataset.page} at {revision}")
    rows = [
        row for name, path in files for _, row in read_rows(path, f"{dataset.repo} {name}", dataset.columns, problems)
    ]
    problems.check()
    if not rows:
        raise UserError(
            f"{dataset.repo} ({split}) holds 0 rows in {', '.join(name for name, _ in files)}. Expected at least one: "
            f"look at {dataset.page}, or put an older copy of it into one of your data folders."
        )
    return revision, rows
