"""Checks of folders named on the command line."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import cache_folder
from uwe_jax.runtime.remote import is_remote, local_copy


def data_folders(paths: Iterable[str | Path]) -> tuple[Path, ...]:
    """Returns the folders of `--data`, buckets as local copies; raises UserError for what is not a folder."""
    folders = tuple(local_copy(str(p), cache_folder()) if is_remote(p) else Path(p).expanduser() for p in paths)
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"--data {folder} is not a folder. Name the folder of the downloads.")
    return folders


def make_out(out: Path, option: str = "--out") -> None:
    """Creates the folder of an option; raises UserError now, not after hours of work, if it is not writable."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise UserError(f"Cannot write to {out}: {error.strerror}. Name another folder with {option}.") from error
