"""Files in a bucket: fetched once into a local cache, and put there, through fsspec's gs://, s3:// and their like."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from uwe_jax.base import disk
from uwe_jax.base.errors import UserError
from uwe_jax.base.network import in_one_line
from uwe_jax.base.process_state import held, quiet
from uwe_jax.base.progress import is_silent, say

_URL = re.compile(r"([a-z][a-z0-9+.-]+)://")
# What a store calls the version of an object; the first that there is.
_VERSIONS = ("generation", "etag", "ETag", "md5Hash", "mtime", "LastModified", "created")
_DENIED = re.compile(r"\b40[13]\b|forbidden|denied|credential|unauthorized|permission", re.IGNORECASE)


class Unreachable(UserError):
    """A bucket or another machine did not answer, or not with sense. It may pass: the same command can go on later."""


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
    with _answering(url):
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
    with _answering(url):
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
    # Imported here: it takes longer than all the rest, and what lies on the own disk needs none.
    import filelock

    url = url.rstrip("/")
    files = listing(url)
    if not files:
        raise _nothing(url)
    name = split_url(url)[1].rpartition("/")[2]
    key = hashlib.sha256(json.dumps([url, sorted(files.items())]).encode()).hexdigest()[:16]
    home = cache / "fetched" / f"{name}-{key}"
    if not home.is_dir():
        try:
            home.parent.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(home.with_name(f".{home.name}.lock")):
                if not home.is_dir():
                    _fetch_whole(url, files, home, name)
        except PermissionError as error:
            raise UserError(
                f"Cannot write to the cache {cache}: {error.strerror}. Name another with $UWE_JAX_CACHE or a setting "
                "of the command."
            ) from error
    return home / name


def _fetch_whole(url: str, files: dict[str, RemoteFile], home: Path, name: str) -> None:
    """Makes `home`, with the files under a name in it, in one step."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=home.parent) as partial:
        whole = Path(partial) / "whole"
        whole.mkdir()
        fetch(url, [(file, whole / name / inside) for inside, file in files.items()])
        if listing(url) != files:
            raise UserError(f"{url} was changed while it was fetched. Run again once nobody writes there.")
        whole.rename(home)
    size = sum(file.size for file in files.values()) / 1e6
    count = f"{len(files):,} file{'s'[: len(files) > 1]}"
    say(f"Fetched {url} ({count}, {size:,.1f} MB) into {home / name} in {time.perf_counter() - started:.1f} s")


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
    with _bar(url, sum(file.size for file, _ in pairs)) as bar, _answering(url):
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
    with _answering(url):
        store.put(list(pairs), list(pairs.values()))


def move(source: str, target: str) -> None:
    """Moves a folder of a bucket, object by object where the bucket knows no folders.

    Raises:
      UserError: it cannot be read or written.
    """
    store, place = _store(source)
    with _answering(source):
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

    with _answering(url):
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


@contextlib.contextmanager
def _answering(url: str) -> Iterator[None]:
    """Turns what a store raises inside into a UserError; every store has exceptions of its own."""
    try:
        # It prints tracebacks of requests that are repeated, and of those that end in a sentence of ours.
        with quiet(gcsfs=logging.CRITICAL):
            yield
    except Exception as error:
        # The local disk's, which commands have a sentence for. EIO is what stores say of anything.
        if disk.refuses(error) and error.errno != errno.EIO:
            raise
        if isinstance(error, FileNotFoundError):
            raise _nothing(url) from error
        reason = f"{type(error).__name__}: {in_one_line(error)}"
        if _DENIED.search(reason):
            raise UserError(
                f"{url} may not be read or written by this machine's account ({reason}). Give the account access to "
                f"the bucket{_role(url)}"
            ) from error
        raise Unreachable(f"{url} cannot be reached ({reason}). Check the network, and run again.") from error


def _role(url: str) -> str:
    if split_url(url)[0] not in ("gs", "gcs"):
        return "."
    return (
        " (roles/storage.objectUser and roles/storage.legacyBucketReader), or log in with "
        "`gcloud auth application-default login`."
    )


def _nothing(url: str) -> UserError:
    return UserError(f"There is nothing at {url}, or no such bucket. Check the name.")


def _bar(url: str, total: int) -> tqdm:
    looks = {"unit": "B", "unit_scale": True, "mininterval": 1.0, "dynamic_ncols": True, "leave": False}
    return tqdm(desc=f"Fetching {url}", total=total, disable=is_silent(), **looks)


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
