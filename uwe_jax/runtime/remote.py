"""Files in buckets (gs://, s3:// and others of fsspec): listing, download into a local cache, upload."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.folders import replacing
from uwe_jax.runtime.optional_imports import install_command
from uwe_jax.runtime.process_state import held, quiet
from uwe_jax.runtime.progress import counted, data_size, without_bars
from uwe_jax.runtime.remote_errors import Unreachable, answering, nothing

LOG = logging.getLogger(__name__)
_URL = re.compile(r"([a-z][a-z0-9+.-]+)://")
# Names of an object's version in the stores; the first one found is used.
_VERSIONS = ("generation", "etag", "ETag", "md5Hash", "mtime", "LastModified", "created")


class RemoteFile(NamedTuple):
    """An object of a bucket: its path in fsspec, size in bytes, and a version that changes when it is overwritten."""

    path: str
    size: int
    version: str


def is_remote(name: str | Path) -> bool:
    """Returns whether a name is a URL such as gs://bucket/folder rather than a path.

    >>> is_remote("gs://bucket/data"), is_remote("runs/mine"), is_remote("C://data")
    (True, False, False)
    """
    return _URL.match(str(name)) is not None


def split_url(url: str) -> tuple[str, str]:
    """Splits a URL into its scheme and the rest.

    >>> split_url("gs://bucket/data/")
    ('gs', 'bucket/data')
    """
    scheme, _, rest = url.partition("://")
    return scheme, rest.strip("/")


def listing(url: str) -> dict[str, RemoteFile]:
    """Lists all files below a URL, by relative path ("" for the URL of a file); a missing folder is empty.

    Raises:
      UserError: the bucket is missing or cannot be read.
    """
    store, place = _store(url)
    with answering(url):
        found = store.find(place, detail=True)
    files = {}
    for path, about in sorted(found.items()):
        inside = path.removeprefix(place.rstrip("/")).lstrip("/")
        if about["type"] != "file" or inside.endswith("/"):
            continue  # the empty objects by which consoles show a folder
        if ".." in Path(inside).parts:
            raise UserError(f"{url} holds {inside!r}, a path outside of its folder. Rename it.")
        version = next((str(about[key]) for key in _VERSIONS if about.get(key) is not None), "")
        files[inside] = RemoteFile(path, int(about["size"]), version)
    return files


def exists(url: str) -> bool:
    """Returns whether a URL is that of a file or of a folder that is not empty."""
    store, place = _store(url)
    with answering(url):
        return store.exists(place)


def local_copy(url: str, cache: Path) -> Path:
    """Returns a local copy of the file or folder at a URL, downloaded unless the cache has its current version.

    Each version has a folder of its own in `cache`/fetched that is never changed, so that readers of an earlier one are
    not disturbed. Concurrent processes download once. The path ends in the last name of the URL.

    Raises:
      UserError: there is nothing at the URL, it cannot be read, or the cache is not writable.
    """
    url = url.rstrip("/")
    files = listing(url)
    if not files:
        raise nothing(url)
    name = split_url(url)[1].rpartition("/")[2]
    key = hashlib.sha256(json.dumps([url, sorted(files.items())]).encode()).hexdigest()[:16]
    home = cache / "fetched" / f"{name}-{key}"
    if not home.is_dir():
        advice = "name another cache with $UWE_JAX_CACHE or a setting of the command"
        try:
            with replacing(home, patience=math.inf, advice=advice) as whole:
                if not home.is_dir():
                    _fetch_whole(url, files, whole, home, name)
        except PermissionError as error:
            raise UserError(f"Cannot write to the cache {cache}: {error.strerror}; {advice}.") from error
    return home / name


def _fetch_whole(url: str, files: dict[str, RemoteFile], whole: Path, home: Path, name: str) -> None:
    """Downloads the files into `whole`, which will become `home`."""
    started = time.perf_counter()
    whole.mkdir()
    fetch(url, [(file, whole / name / inside) for inside, file in files.items()])
    if listing(url) != files:
        raise UserError(f"{url} was changed during the download. Run again when the writer has finished.")
    what = f"{url} ({counted(len(files), 'file')}, {data_size(sum(file.size for file in files.values()))})"
    LOG.info(f"Fetched {what} into {home / name} in {time.perf_counter() - started:.1f} s")


def fetch(url: str, pairs: Sequence[tuple[RemoteFile, Path]]) -> None:
    """Downloads files to paths under a progress bar; parent folders are created, and errors name the URL.

    Raises:
      UserError: a file cannot be read, or arrives with another size.
    """
    if not pairs:
        return
    store, _ = _store(url)
    looks: dict[str, Any] = {"unit_scale": True, "mininterval": 1.0, "dynamic_ncols": True, "leave": False}
    looks |= {"desc": f"Fetching {url}", "total": sum(file.size for file, _ in pairs), "disable": without_bars()}
    with tqdm(unit="B", **looks) as bar, answering(url):
        store.get([file.path for file, _ in pairs], [str(path) for _, path in pairs], callback=_counting(bar))
    for file, path in pairs:
        if (size := path.stat().st_size) != file.size:
            raise Unreachable(f"{url}: {file.path} has {file.size:,} bytes there and {size:,} here. Run again.")


def upload(path: Path, url: str, files: Sequence[Path] | None = None) -> None:
    """Uploads a file, or the files of a folder (`files`, or all of them), to a URL, each object atomically.

    Raises:
      UserError: the bucket is not writable.
    """
    if path.is_file():
        pairs = {str(path): url}
    else:
        chosen = sorted(p for p in path.rglob("*") if p.is_file()) if files is None else files
        pairs = {str(file): f"{url.rstrip('/')}/{file.relative_to(path).as_posix()}" for file in chosen}
    if not pairs:
        return
    store, _ = _store(url)
    with answering(url):
        store.put(list(pairs), list(pairs.values()))


def move(source: str, target: str) -> None:
    """Moves a folder of a bucket, object by object if the bucket has no folders."""
    store, place = _store(source)
    with answering(source):
        store.mv(place, store._strip_protocol(target), recursive=True)


def bucket_path(url: str) -> Any:
    """Returns the `etils.epath.Path` of a folder at gs://, for libraries.

    Raises:
      UserError: the bucket is missing, or this machine's account may not ask for its metadata, as Orbax does.
    """
    _, place = _store(url)  # reports missing libraries
    # Imported here: local paths need neither.
    from etils import epath
    from google.cloud import storage

    with answering(url):
        storage.Client().get_bucket(place.partition("/")[0])
    return epath.Path(url)


@contextlib.contextmanager
def library_paths() -> Iterator[None]:
    """Turns off gcsfs's cache of listings and log during the block, in which libraries use paths of `bucket_path`.

    Other processes of a training write there too, and gcsfs would log tracebacks of requests that it repeats.
    """
    import fsspec.config

    conf = fsspec.config.conf

    def put(value: dict[str, Any] | None) -> None:
        conf.pop("gs", None) if value is None else conf.update(gs=value)

    own = {"use_listings_cache": False, **conf.get("gs", {})}
    with held("fsspec gs", lambda: conf.get("gs"), put, own), quiet(gcsfs=logging.CRITICAL):
        yield


def _store(url: str) -> tuple[Any, str]:
    """Returns fsspec's file system of a URL, and the URL's path in it."""
    import fsspec  # here: local paths do not need it

    try:
        # Other machines write there too, so cached listings would be outdated.
        return fsspec.core.url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        how = f" with: {install_command('gcs')}" if split_url(url)[0] in ("gs", "gcs") else "."
        raise UserError(f"{url} cannot be reached: a library is missing ({error}). Install it{how}") from error
    except ValueError as error:
        raise UserError(f"{url}: {error}. Give a URL such as gs://bucket/folder, or a local path.") from error


def _counting(bar: tqdm) -> Any:
    """Returns an fsspec callback that counts the bytes of all files on one bar."""
    from fsspec.callbacks import Callback

    class OfFile(Callback):
        def relative_update(self, inc: int = 1) -> None:
            bar.update(inc)

    class OfAll(Callback):
        def branched(self, path_1: str, path_2: str, **_: Any) -> Callback:
            return OfFile()

    return OfAll()
