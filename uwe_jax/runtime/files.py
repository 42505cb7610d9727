"""Atomic writing of files, the cache folder, and folders named on the command line."""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.printable import json_text
from uwe_jax.runtime.remote import is_remote, local_copy
from uwe_jax.runtime.remote_cache import local_cache, mirror
from uwe_jax.runtime.settings import did_you_mean


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Adds the file's name to disk errors inside: errors of writing, unlike those of opening, have none."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


@contextlib.contextmanager
def replacing(path: Path, mode: str, **options: Any) -> Iterator[IO]:
    """Opens a file to write in parts, and replaces an earlier one where all goes well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with naming(path), partial.open(mode, **options) as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Replaces a file in one step: a kill leaves the complete old file or the complete new one."""
    write_together({path: content})


def write_together(files: Mapping[Path, bytes | None]) -> None:
    """Replaces the files of one result: after a kill, those that exist are all old or all new.

    Args:
      files: content by path; None removes a file. All but the first are removed before the first is replaced.
    """
    partial = {path: path.with_name(f".{path.name}.{os.getpid()}.partial") for path in files}
    try:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is not None:
                with naming(path), partial[path].open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
        for path in list(files)[1:]:
            path.unlink(missing_ok=True)
        for path, content in files.items():
            if content is not None:
                partial[path].replace(path)
    finally:
        for path in partial.values():
            path.unlink(missing_ok=True)


def json_bytes(value: Any) -> bytes:
    """Returns indented JSON as the content of a file."""
    return (json_text(value, indent=2) + "\n").encode()


def write_json(path: Path, value: Any) -> None:
    """Writes a value as indented JSON, atomically."""
    write_atomically(path, json_bytes(value))


def cache_folder(setting: str = "") -> Path:
    """Returns the folder of downloads and prepared data: the setting, else $UWE_JAX_CACHE, else the user's cache.

    For a URL such as gs://bucket/cache, returns its local mirror; see `uwe_jax.runtime.remote_cache`.
    """
    chosen = setting or os.environ.get("UWE_JAX_CACHE") or str(local_cache())
    return mirror(chosen, local_cache()) if is_remote(chosen) else Path(chosen).expanduser()


def near_on_disk(path: str | Path) -> str:
    """Returns a question with the most similar name in the folder of a missing path, as of `did_you_mean`; else ""."""
    text, missing = str(path).rstrip("/"), Path(path).expanduser()
    with contextlib.suppress(OSError, ValueError), os.scandir(missing.parent) as entries:
        names = [entry.name for entry in itertools.islice(entries, 10_000)]
        return "" if missing.exists() else did_you_mean(missing.name, names, text.removesuffix(missing.name))
    return ""


def data_folders(paths: Iterable[str | Path], option: str = "--data") -> tuple[Path, ...]:
    """Returns the folders of an option, buckets as local copies; raises UserError for what is not a folder."""
    folders = tuple(local_copy(str(p), cache_folder()) if is_remote(p) else Path(p).expanduser() for p in paths)
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{option} {folder} is not a folder.{near_on_disk(folder)} Name that of the downloads.")
    return folders


def make_out(out: Path, option: str = "--out") -> None:
    """Creates the folder of an option; raises UserError now, not after hours of work, if it is not writable."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise UserError(f"Cannot write to {out}: {error.strerror}. Name another folder with {option}.") from error
