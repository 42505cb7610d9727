"""A cache in a bucket: what one machine prepared, others, and the same one made anew, fetch instead.

A folder in the local cache stands for every URL: `mirror` gives it, `address` takes it back. So whoever makes something
in a cache needs no more than its path to look for it in the bucket and to leave it there.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import zipfile
import zlib
from pathlib import Path

import platformdirs

from uwe_jax.runtime import remote
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.folders import replacing

LOG = logging.getLogger(__name__)
_MIRRORS = "mirrors_of_remote"
# What unpacking raises where an archive is damaged.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError)
_read_only = False


def local_cache() -> Path:
    """A cache folder on this machine's own disk: $UWE_JAX_CACHE, where that is no URL, else the user's."""
    chosen = os.environ.get("UWE_JAX_CACHE") or ""
    return Path(
        platformdirs.user_cache_dir("uwe_jax") if not chosen or remote.is_remote(chosen) else chosen
    ).expanduser()


def mirror(url: str, cache: Path) -> Path:
    """The folder in a local cache that stands for a URL.

    >>> mirror("gs://bucket/cache", Path("/tmp")).as_posix()
    '/tmp/mirrors_of_remote/gs/bucket/cache'
    """
    scheme, rest = remote.split_url(url)
    parts = [part for part in rest.split("/") if part]
    if not parts or ".." in parts:
        raise UserError(f"{url!r} names no bucket. Give a URL such as gs://bucket/folder.")
    return cache.joinpath(_MIRRORS, scheme, *parts)


def address(path: Path) -> str | None:
    """The URL that a path below a `mirror` stands for; None for any other path.

    >>> address(mirror("gs://bucket/cache", Path("/tmp")) / "tfds")
    'gs://bucket/cache/tfds'
    """
    parts = path.parts
    if _MIRRORS not in parts:
        return None
    last = len(parts) - 1 - parts[::-1].index(_MIRRORS)
    scheme, *rest = parts[last + 1 :]
    return f"{scheme}://{'/'.join(rest)}"


def find(path: Path) -> bool:
    """Whether a file or folder is there, fetched from the bucket that it belongs to if need be.

    Raises:
      UserError: the bucket cannot be read.
    """
    url = address(path)
    if url is None or path.exists():
        return path.exists()
    for packed in (False, True):  # a folder is one archive there: it is whole or not there at all
        there = f"{url}.zip" if packed else url
        if files := _alone(there):
            return _fetch(there, files, path, packed)
    return False


def _alone(url: str) -> remote.RemoteFile | None:
    return remote.listing(url).get("")


def _fetch(url: str, file: remote.RemoteFile, path: Path, packed: bool) -> bool:
    with replacing(path, patience=math.inf) as whole:
        if path.exists():  # another process was first
            return True
        fetched = whole.with_name("fetched") if packed else whole
        remote.fetch(url, [(file, fetched)])
        try:
            if packed:
                with zipfile.ZipFile(fetched) as archive:  # which checks what it reads
                    archive.extractall(whole)
        except _DAMAGE as error:
            shutil.rmtree(whole, ignore_errors=True)
            LOG.warning(f"{url} is damaged ({error}) and made anew.")
            return False
    LOG.info(f"Fetched {url} ({file.size / 1e6:,.1f} MB)")
    return True


def keep(path: Path) -> None:
    """Leaves a file or folder that was made in a cache in the bucket that it belongs to, where there is one.

    What cannot be kept is said, and no error: it would only be made anew.
    """
    url = address(path)
    if url is None or _read_only:
        return
    try:
        if path.is_file():
            remote.upload(path, url)
            return
        with replacing(path, patience=math.inf) as other:  # which stays as it is
            archive = shutil.make_archive(str(other.with_name("archive")), "zip", path)
            remote.upload(Path(archive), f"{url}.zip")
    except (UserError, OSError) as error:
        LOG.warning(f"Not kept for other machines: {error}")


def leave_writing_to_another() -> None:
    """From here on `keep` does nothing: of several processes that make the same, one keeps it."""
    global _read_only
    _read_only = True
