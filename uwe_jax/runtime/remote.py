"""Files in a bucket: fetched once into a local cache, and put there, through fsspec's gs://, s3:// and their like."""

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
from uwe_jax.runtime.process_state import held, quiet
from uwe_jax.runtime.progress import without_bars
from uwe_jax.runtime.remote_errors import Unreachable, answering, nothing

LOG = logging.getLogger(__name__)
_URL = re.compile(r"([a-z][a-z0-9+.-]+)://")
# What a store calls the version of an object; the first that there is.
_VERSIONS = ("generation", "etag", "ETag", "md5Hash", "mtime", "LastModified", "created")


class RemoteFile(NamedTuple):
    """An object of a bucket: its path as fsspec has it, its size in bytes, and what changes when it is written anew."""

    path: str
    size: int
    version: str


def is_remote(name: str | Path) -> bool:
    """Whether a name is a URL such as gs://bucket/folder, and no path.

    >>> is_remote("gs://bucket/data"), is_remote("runs/mine"), is_remote("C://data")
    (True, False, False)
    """
    return _URL.match(str(name)) is not None


def split_url(url: str) -> tuple[str, str]:
    """The scheme of a URL, and what follows it.

    >>> split_url("gs://bucket/data/")
    ('gs', 'bucket/data')
    """
    scheme, _, rest = url.partition("://")
    return scheme, rest.strip("/")


def listing(url: str) -> dict[str, RemoteFile]:
    """Every file in a folder of a bucket and in the folders in it, by its path inside; a file alone has the path "".

    Raises:
      UserError: the bucket cannot be read, or is not there. A folder that is not there is empty.
    """
    store, place = _store(url)
    with answering(url):
        found = store.find(place, detail=True)
    files = {}
    for path, about in sorted(found.items()):
        inside = path.removeprefix(place.rstrip("/")).lstrip("/")
        if about["type"] != "file" or inside.endswith("/"):
            continue  # the empty objects that consoles make to show a folder
        if ".." in Path(inside).parts:
            raise UserError(
                f"{url} holds {inside!r}, which leads out of the folder it would be fetched into. Rename it."
            )
        version = next((str(about[key]) for key in _VERSIONS if about.get(key) is not None), "")
        files[inside] = RemoteFile(path, int(about["size"]), version)
    return files


def exists(url: str) -> bool:
    """Whether there is a file, or a folder with something in it."""
    store, place = _store(url)
    with answering(url):
        return store.exists(place)


def local_copy(url: str, cache: Path) -> Path:
    """The file or folder of a URL on this machine, fetched unless the cache holds it as it is there now.

    Each content has a folder of its own that is never changed, so who reads one is not disturbed when another is
    fetched. Processes that ask at the same time fetch once.

    Args:
      url: of a file or a folder.
      cache: local folder; copies go into its folder fetched.

    Returns:
      A path that ends in the name that the URL ends in.

    Raises:
      UserError: there is nothing, it cannot be read, or the cache cannot be written.
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
    """Fetches the files under a name into `whole`, which is to become `home`."""
    started = time.perf_counter()
    whole.mkdir()
    fetch(url, [(file, whole / name / inside) for inside, file in files.items()])
    if listing(url) != files:
        raise UserError(f"{url} was changed while it was fetched. Run again once nobody writes there.")
    size = sum(file.size for file in files.values()) / 1e6
    count = f"{len(files):,} file{'s'[: len(files) > 1]}"
    LOG.info(f"Fetched {url} ({count}, {size:,.1f} MB) into {home / name} in {time.perf_counter() - started:.1f} s")


def fetch(url: str, pairs: Sequence[tuple[RemoteFile, Path]]) -> None:
    """Downloads files under a bar.

    Args:
      url: that errors name.
      pairs: a file, and the path it is written to; folders on the way are made.

    Raises:
      UserError: one cannot be read, or arrives with another size.
    """
    if not pairs:
        return
    store, _ = _store(url)
    with _bar(url, sum(file.size for file, _ in pairs)) as bar, answering(url):
        store.get([file.path for file, _ in pairs], [str(path) for _, path in pairs], callback=_counting(bar))
    for file, path in pairs:
        if (size := path.stat().st_size) != file.size:
            raise Unreachable(f"{url}: {file.path} has {file.size:,} bytes there and {size:,} here. Run again.")


def upload(path: Path, url: str, files: Sequence[Path] | None = None) -> None:
    """Writes a file, or the files of a folder, to a URL; each object is replaced in one step.

    Args:
      path: file or folder.
      files: of the folder, those that are meant; None means all of them.

    Raises:
      UserError: the bucket cannot be written.
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
    """Moves a folder of a bucket, object by object where the bucket knows no folders.

    Raises:
      UserError: it cannot be read or written.
    """
    store, place = _store(source)
    with answering(source):
        store.mv(place, store._strip_protocol(target), recursive=True)


def bucket_path(url: str) -> Any:
    """The path of a folder at gs:// for libraries that take one: an `etils.epath.Path`.

    Raises:
      UserError: the bucket is not there, or this machine's account may not ask for it, as Orbax will.
    """
    _, place = _store(url)  # which says what is not installed
    # Imported here: what lies on the own disk needs none.
    from etils import epath
    from google.cloud import storage

    with answering(url):
        storage.Client().get_bucket(place.partition("/")[0])
    return epath.Path(url)


@contextlib.contextmanager
def library_paths() -> Iterator[None]:
    """What paths of `bucket_path` need while libraries read and write there.

    Those would go by what was there when they looked first, while other processes of a training write there too, and
    would show tracebacks of requests that they repeat.
    """
    import fsspec.config

    conf = fsspec.config.conf

    def put(value: dict[str, Any] | None) -> None:
        conf.pop("gs", None) if value is None else conf.update(gs=value)

    own = {"use_listings_cache": False, **conf.get("gs", {})}
    with held("fsspec gs", lambda: conf.get("gs"), put, own), quiet(gcsfs=logging.CRITICAL):
        yield


def _store(url: str) -> tuple[Any, str]:
    """fsspec's file system of a URL, and the URL's path in it."""
    # Imported here: what lies on the own disk needs none.
    import fsspec

    try:
        # Other machines write there as well, so a listing from before is worth nothing.
        return fsspec.core.url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        install = " pip install 'uwe_jax[gcs]' does." if split_url(url)[0] in ("gs", "gcs") else ""
        raise UserError(f"{url} cannot be reached: a library is missing ({error}). Install it.{install}") from error
    except ValueError as error:
        raise UserError(f"{url}: {error}. Give a URL such as gs://bucket/folder, or a local path.") from error


def _bar(url: str, total: int) -> tqdm:
    looks = {"unit": "B", "unit_scale": True, "mininterval": 1.0, "dynamic_ncols": True, "leave": False}
    return tqdm(desc=f"Fetching {url}", total=total, disable=without_bars(), **looks)


def _counting(bar: tqdm) -> Any:
    """An fsspec callback that counts the bytes of all files on one bar."""
    from fsspec.callbacks import Callback

    class OfFile(Callback):
        def relative_update(self, inc: int = 1) -> None:
            bar.update(inc)

    class OfAll(Callback):
        def branched(self, path_1: str, path_2: str, **_: Any) -> Callback:
            return OfFile()

    return OfAll()
