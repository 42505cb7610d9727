"""Errors of buckets: what each store's library raises, sorted into what to fix and what may pass."""

from __future__ import annotations

import contextlib
import errno
import logging
from collections.abc import Iterator

from uwe_jax.runtime import disk_errors as disk
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.network import in_one_line
from uwe_jax.runtime.process_state import quiet

# Types of errors by which libraries of stores say that they found no usable account; none of them need be installed.
_NO_ACCOUNT = {
    *("DefaultCredentialsError", "RefreshError"),  # google.auth
    *("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"),  # botocore
    "ClientAuthenticationError",  # azure
}
_MAY_PASS = {408, 409, 425, 429}  # HTTP statuses of the client's errors that are no mistake of the client


class Unreachable(UserError):
    """A bucket or another machine did not answer, or not with sense. It may pass: the same command can go on later."""


@contextlib.contextmanager
def answering(url: str) -> Iterator[None]:
    """Turns what a store raises inside into a UserError; every store has exceptions of its own.

    They are sorted by their types and HTTP statuses. A file's name may hold any word.

    Raises:
      UserError: nothing is there, or the store refuses the request or the account.
      Unreachable: the store does not answer, or with what may pass.
      OSError: of the own disk.
    """
    try:
        # It prints tracebacks of requests that are repeated, and of those that end in a sentence of ours.
        with quiet(gcsfs=logging.CRITICAL):
            yield
    except Exception as error:
        if _of_this_machine(error):
            raise  # which commands have a sentence for
        status = _status(error)
        if isinstance(error, FileNotFoundError) or status == 404:
            raise nothing(url) from error
        reason = f"{type(error).__name__}: {in_one_line(error)}"
        if _is_denied(error, status):
            raise UserError(
                f"{url} may not be read or written by this machine's account ({reason}). Give the account access to "
                f"the bucket{_role(url)}"
            ) from error
        # ValueError is how fsspec's libraries put a request that is wrong in itself; what is derived from it is not.
        if type(error) is ValueError or (status and 400 <= status < 500 and status not in _MAY_PASS):
            raise UserError(
                f"{url}: the store refuses the request ({reason}). Check the name and the bucket."
            ) from error
        raise Unreachable(f"{url} cannot be reached ({reason}). Check the network, and run again.") from error


def _of_this_machine(error: Exception) -> bool:
    """Whether the own disk says so: it refuses what is written, or the error names a file of it."""
    if not isinstance(error, OSError):
        return False
    # EIO is what stores say of anything.
    return str(error.filename or "").startswith("/") or (disk.refuses(error) and error.errno != errno.EIO)


def _status(error: BaseException) -> int | None:
    """The HTTP status that an error of a store carries, under the name that its library gives it."""
    for each in (error, getattr(error, "response", None)):
        for name in ("code", "status", "status_code"):
            value = getattr(each, name, None)
            if isinstance(value, int) or (isinstance(value, str) and value.isdigit()):
                return int(value)
    return None


def _is_denied(error: BaseException, status: int | None) -> bool:
    if status is not None:
        return status in (401, 403)
    if isinstance(error, PermissionError) or str(error).startswith("Forbidden: "):  # all that gcsfs makes of a 403
        return True
    names = {kind.__name__ for kind in type(error).__mro__}
    # An account that cannot be refreshed because nobody answers is raised from what says so.
    return bool(names & _NO_ACCOUNT) and not (getattr(error, "retryable", False) or _is_transport(error.__cause__))


def _is_transport(error: BaseException | None) -> bool:
    return "TransportError" in {kind.__name__ for kind in type(error).__mro__}  # google.auth


def _role(url: str) -> str:
    if not url.startswith(("gs://", "gcs://")):
        return "."
    return (
        " (roles/storage.objectUser and roles/storage.legacyBucketReader), or log in with "
        "`gcloud auth application-default login`."
    )


def nothing(url: str) -> UserError:
    """The error for a URL at which there is nothing."""
    return UserError(f"There is nothing at {url}, or no such bucket. Check the name.")
