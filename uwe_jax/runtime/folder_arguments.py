"""Folders that commands are given."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import cache_folder
from uwe_jax.runtime.remote import is_remote, local_copy


def data_folders(paths: Iterable[str | Path]) -> tuple[Path, ...]:
    """The folders of `--data`; of one in a bucket, a local copy.

    Raises:
      UserError: one of them is no folder.
    """
    folders = tuple(local_copy(str(p), cache_folder()) if is_remote(p) else Path(p).expanduser() for p in paths)
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"--data {folder} is no folder. Name the one that holds the downloads.")
    return folders


def make_out(out: Path) -> None:
    """Makes the folder of `--out`, before hours of work that would end there.

    Raises:
      UserError: it cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise UserError(f"Cannot write to {out}: {error.strerror}. Name another folder with --out.") from error
