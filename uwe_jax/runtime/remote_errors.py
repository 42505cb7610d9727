"""Classifies errors of buckets, whatever the store's library, into those to fix and those to retry."""

from __future__ import annotations

import contextlib
import errno
import logging
from collections.abc import Iterator

from uwe_jax.runtime import disk_errors as disk
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.network import in_one_line
from uwe_jax.runtime.process_state import quiet

# Names of the errors of stores' libraries for missing credentials; the libraries need not be installed.
_NO_ACCOUNT = {
    *("DefaultCredentialsError", "RefreshError"),  # google.auth
    *("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"),  # botocore
    "ClientAuthenticationError",  # azure
}
_GOOGLE = (
    " (roles/storage.objectUser and roles/storage.legacyBucketReader), or log in with "
    "`gcloud auth application-default login`"
)
_MAY_PASS = {408, 409, 425, 429}  # HTTP statuses 4xx that are worth a retry


class Unreachable(UserError):
    """A bucket or another machine did not respond, or not properly; a later retry may succeed."""


@contextlib.contextmanager
def answering(url: str) -> Iterator[None]:
    """Turns the exceptions of stores into UserErrors, by type and HTTP status, as names of files may hold any word.

    Raises:
      UserError: nothing is there, or the store refuses the request or the account.
      Unreachable: the store does not respond, or with a temporary error.
      OSError: of the local disk.
    """
    try:
        # gcsfs logs tracebacks of requests that it repeats or that are reported here.
        with quiet(gcsfs=logging.CRITICAL):
            yield
    except Exception as error:
        if _of_this_machine(error):
            raise
        status = _status(error)
        if isinstance(error, FileNotFoundError) or status == 404:
            raise nothing(url) from error
        reason = f"{type(error).__name__}: {in_one_line(error)}"
        if _is_denied(error, status):
            google = _GOOGLE if url.startswith(("gs://", "gcs://")) else ""
            raise UserError(
                f"{url} may not be read or written by this machine's account ({reason}). Give the account access to "
                f"the bucket{google}."
            ) from error
        # fsspec's libraries raise ValueError itself, not a subclass, for an invalid request.
        if type(error) is ValueError or (status and 400 <= status < 500 and status not in _MAY_PASS):
            raise UserError(
                f"{url}: the store refuses the request ({reason}). Check the name and the bucket."
            ) from error
        raise Unreachable(f"{url} cannot be reached ({reason}). Check the network, and run again.") from error


def _of_this_machine(error: Exception) -> bool:
    """Returns whether the local disk refused a write, or the error names a local file."""
    if not isinstance(error, OSError):
        return False
    # Stores raise EIO for anything.
    return str(error.filename or "").startswith("/") or (disk.refuses(error) and error.errno != errno.EIO)


def _status(error: BaseException) -> int | None:
    """Returns the HTTP status of a store's error, whatever its library calls it."""
    for each in (error, getattr(error, "response", None)):
        for name in ("code", "status", "status_code"):
            value = getattr(each, name, None)
            if isinstance(value, int) or (isinstance(value, str) and value.isdigit()):
                return int(value)
    return None


def _is_denied(error: BaseException, status: int | None) -> bool:
    if status is not None:
        return status in (401, 403)
    if isinstance(error, PermissionError) or str(error).startswith("Forbidden: "):  # gcsfs's error for a 403
        return True
    # If google.auth cannot refresh an account because of the network, the cause is a TransportError.
    passing = getattr(error, "retryable", False) or "TransportError" in _types(error.__cause__)
    return bool(_types(error) & _NO_ACCOUNT) and not passing


def _types(error: BaseException | None) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}


def nothing(url: str) -> UserError:
    """Makes the error for a URL at which there is nothing."""
    return UserError(f"There is nothing at {url}, or no such bucket. Check the name.")
