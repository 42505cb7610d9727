"""A cache in a bucket: what one machine prepared, other machines download.

Every URL has a mirror, a folder in the local cache (`mirror`; `address` is the inverse), so that a local path is enough
to find an entry in the bucket and to keep it there.
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
from uwe_jax.runtime.progress import data_size, is_silent

LOG = logging.getLogger(__name__)
_MIRRORS = "mirrors_of_remote"
# What unpacking a damaged archive raises.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError)


def local_cache() -> Path:
    """Returns a cache folder on a local disk: $UWE_JAX_CACHE unless that is a URL, else the user's cache folder."""
    chosen = os.environ.get("UWE_JAX_CACHE", "")
    local = chosen and not remote.is_remote(chosen)
    return Path(chosen if local else platformdirs.user_cache_dir("uwe_jax")).expanduser()


def mirror(url: str, cache: Path) -> Path:
    """Returns the folder in a local cache that mirrors a URL.

    >>> mirror("gs://bucket/cache", Path("/tmp")).as_posix()
    '/tmp/mirrors_of_remote/gs/bucket/cache'
    """
    scheme, rest = remote.split_url(url)
    parts = [part for part in rest.split("/") if part]
    if not parts or ".." in parts:
        raise UserError(f"{url!r} does not name a bucket. Give a URL such as gs://bucket/folder.")
    return cache.joinpath(_MIRRORS, scheme, *parts)


def address(path: Path) -> str | None:
    """Returns the URL of a path below a `mirror`; None for any other path.

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
    """Returns whether a file or folder exists, after downloading it from the bucket of its mirror if it is there.

    Raises:
      UserError: the bucket cannot be read.
    """
    url = address(path)
    if url is None or path.exists():
        return path.exists()
    for packed in (False, True):  # a folder is one archive in the bucket, so that it is never partial
        there = f"{url}.zip" if packed else url
        if file := remote.listing(there).get(""):
            return _fetch(there, file, path, packed)
    return False


def _fetch(url: str, file: remote.RemoteFile, path: Path, packed: bool) -> bool:
    with replacing(path, patience=math.inf) as whole:
        if path.exists():  # another process was first
            return True
        fetched = whole.with_name("fetched") if packed else whole
        remote.fetch(url, [(file, fetched)])
        try:
            if packed:
                with zipfile.ZipFile(fetched) as archive:  # verifies checksums
                    archive.extractall(whole)
        except _DAMAGE as error:
            shutil.rmtree(whole, ignore_errors=True)
            LOG.warning(f"{url} is damaged ({error}) and will be re-created.")
            return False
    LOG.info(f"Fetched {url} ({data_size(file.size)})")
    return True


def keep(path: Path) -> None:
    """Uploads a file or folder of a mirror to its bucket; failures are warnings, as it can be re-created."""
    url = address(path)
    if url is None or is_silent():  # of several processes the first one uploads
        return
    try:
        if path.is_file():
            remote.upload(path, url)
            return
        with replacing(path, patience=math.inf) as other:  # only for its lock and temporary folder
            archive = shutil.make_archive(str(other.with_name("archive")), "zip", path)
            remote.upload(Path(archive), f"{url}.zip")
    except (UserError, OSError) as error:
        LOG.warning(f"Not kept for other machines: {error}")
