"""Connection to a Qdrant store: a folder or this process's memory (embedded), or a server or cluster by its URL."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.network import in_one_line, within
from uwe_jax.runtime.optional_imports import extra_library

MEMORY = ":memory:"
KEY_VARIABLE = "QDRANT_API_KEY"
# A server answers the first request at once; later ones move megabytes.
FIRST_ANSWER_SECONDS = 10
ANSWER_SECONDS = 120
# The first version of server and embedded mode whose collections have metadata.
_OLDEST_VERSION = (1, 16)
_META_FILE, _LOCK_FILE = "meta.json", ".lock"


def library(module: str = "qdrant_client") -> Any:
    """Imports a module of the extra `qdrant`. Raises UserError: it is not installed."""
    return extra_library(module, use="An index in Qdrant", extra="qdrant")


class Store:
    """An open store.

    Attributes:
      client: a `qdrant_client.QdrantClient`.
      where: the store's location, for people.
      embedded: whether it is a folder or memory, and not a server.
    """

    def __init__(self, client: Any, where: str, *, owned: bool):
        self.client = client
        self.where = where
        self.embedded = bool(client.init_options.get("path")) or client.init_options.get("location") == MEMORY
        self._owned = owned

    @classmethod
    def connect(cls, location: Any, *, create: bool) -> Store:
        """Opens a store.

        Args:
          location: a folder, ":memory:", the URL of a server (whose API key, if any, is in $QDRANT_API_KEY), or a
            caller's `QdrantClient`, which stays open.
          create: turn a folder that is missing or empty into a store.

        Raises:
          UserError: the client library is missing; there is no store, another process has it open, it is damaged or too
            old; the server does not answer or requires another key.
        """
        qdrant = library()
        if isinstance(location, qdrant.QdrantClient):
            store = cls(location, "the given client's store", owned=False)
        elif (place := str(location)) == MEMORY:
            store = cls(qdrant.QdrantClient(MEMORY, force_disable_check_same_thread=True), "memory", owned=True)
        elif "://" in place:
            store = cls(_remote(qdrant, place), place, owned=True)
        else:
            store = cls(_embedded(qdrant, Path(place).expanduser(), create), place, owned=True)
        try:
            with store.asking() as client:
                version = str(within(FIRST_ANSWER_SECONDS, client.info).version)
            if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < _OLDEST_VERSION:
                oldest = ".".join(map(str, _OLDEST_VERSION))
                raise UserError(f"Qdrant at {store.where} has version {version}; {oldest} or newer is needed.")
        except UserError:
            store.close()
            raise
        return store

    @contextmanager
    def asking(self) -> Iterator[Any]:
        """Yields the client; errors of the network, the server and the disk become a `UserError`."""
        try:
            yield self.client
        except UserError:
            raise
        except Exception as error:
            sentence = _sentence(error, self.where)
            if sentence is None:
                raise
            raise UserError(sentence) from error

    def close(self) -> None:
        """Closes the folder or the connection; a caller's client stays open."""
        if self._owned:
            self.client.close()


def _remote(qdrant: Any, url: str) -> Any:
    if not re.match(r"https?://[^/]", url):
        raise UserError(f"Qdrant at {url!r}: the address must start with http:// or https:// and name a host.")
    key = os.environ.get(KEY_VARIABLE) or None
    try:
        return qdrant.QdrantClient(url=url, api_key=key, timeout=ANSWER_SECONDS, check_compatibility=False)
    except ValueError as error:
        raise UserError(f"Qdrant at {url!r}: invalid address ({in_one_line(error)}).") from error


def _embedded(qdrant: Any, folder: Path, create: bool) -> Any:
    known = (folder / _META_FILE).is_file()
    if not known and not create:
        raise UserError(
            f"{folder} holds no Qdrant store. Upload an index to it first, or give another folder or a URL."
        )
    try:
        if not known and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(f"{folder} is neither a Qdrant store nor an empty folder. Give another one.")
        _check_free(folder)
        return qdrant.QdrantClient(path=str(folder), force_disable_check_same_thread=True)
    except (OSError, sqlite3.Error, ValueError, KeyError) as error:
        raise UserError(
            f"The Qdrant store {folder} cannot be opened ({type(error).__name__}: {in_one_line(error)}). Check the "
            "folder's permissions, restore it from a copy, or upload the index to another folder."
        ) from error


def _check_free(folder: Path) -> None:
    """Tries the embedded mode's lock, which the client would find taken only after reading gigabytes."""
    path = folder / _LOCK_FILE
    if not path.exists():
        return
    portalocker = library("portalocker")
    with path.open("r+") as lock:
        try:
            portalocker.lock(lock, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING)
        except portalocker.exceptions.LockException as error:
            raise UserError(
                f"The Qdrant store {folder} is open in another process, and embedded mode serves only one. Wait for "
                "that process, stop it, or run a Qdrant server and give its URL."
            ) from error
        portalocker.unlock(lock)


def _sentence(error: Exception, where: str) -> str | None:
    """Explains an error to a user; None for a bug."""
    grpc = library("grpc")
    if isinstance(error, grpc.RpcError):
        code, details = error.code(), error.details()
        if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            return _silent(where, f"{code.name}: {details}")
        return f"Qdrant at {where} answered {code.name}: {details}."
    exceptions = library("qdrant_client.http.exceptions")
    if isinstance(error, exceptions.UnexpectedResponse):
        reason = _reason(error)
        if error.status_code in (401, 403):
            return (
                f"Qdrant at {where} requires another API key (HTTP {error.status_code}: {reason}). Set "
                f"${KEY_VARIABLE} to one with access."
            )
        if error.status_code == 404 and "ollection" in reason:
            return (
                f"Qdrant at {where} no longer has this collection ({reason}): the index was replaced or deleted since "
                "it was opened. Open it again."
            )
        return f"Qdrant at {where} answered HTTP {error.status_code}: {reason}."
    if isinstance(error, exceptions.ResponseHandlingException):
        error = error.source
        if type(error).__name__ == "ValidationError":
            return f"The server at {where} does not answer as a Qdrant server does. Check the address and its port."
        return _silent(where, f"{type(error).__name__}: {in_one_line(error)}")
    if isinstance(error, TimeoutError):
        return _silent(where, in_one_line(error))
    if isinstance(error, (OSError, sqlite3.Error)):
        return f"The Qdrant store {where} cannot be read or written ({type(error).__name__}: {in_one_line(error)})."
    return None


def _silent(where: str, why: str) -> str:
    return f"Qdrant at {where} does not answer ({why}). Check the address and the network, and that the server runs."


def _reason(error: Any) -> str:
    """Returns the server's own message, or the status line's where it has none."""
    try:
        return in_one_line(Exception(error.structured()["status"]["error"]))
    except (ValueError, KeyError, TypeError):
        return error.reason_phrase
