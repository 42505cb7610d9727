"""Exit statuses of commands (docs/training.md; the scripts in `launch/` act on them), error messages, and ending."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from uwe_jax.runtime import disk_errors as disk
from uwe_jax.runtime.errors import Stopped, UserError
from uwe_jax.runtime.progress import print_error
from uwe_jax.runtime.remote_errors import Unreachable

EXIT_FAILED = 1  # a retry may succeed: launchers retry a bounded number of times
EXIT_USER_ERROR = 2  # something for the user to fix: launchers do not retry
EXIT_AGAIN = 75  # EX_TEMPFAIL of sysexits.h: stopped from outside; the same command resumes
EXIT_INTERRUPTED = 130  # Ctrl-C
EXIT_UNREAD = 141  # 128 + SIGPIPE, as of other programs: the reader of the output, such as `head`, has ended

_LONGEST_QUERY = 60  # characters, in a command that is printed
LOG = logging.getLogger(__name__)
NOTHING_UNSAVED = "Stopped by SIGTERM; nothing was unsaved. Re-run the same command to resume."


@contextlib.contextmanager
def ending_when_unread() -> Iterator[None]:
    """Exits quietly with `EXIT_UNREAD` once the reader of standard output or error, such as `head`, has ended."""
    try:
        try:
            yield
        except SystemExit:
            sys.stdout.flush()
            raise
        sys.stdout.flush()
    except BrokenPipeError:
        unread = [stream for stream in (sys.stdout, sys.stderr) if _is_unread(stream)]
        if not unread:  # another connection
            raise
        for stream in unread:  # Python flushes them at exit, and would complain
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        sys.exit(EXIT_UNREAD)


def _is_unread(stream: TextIO) -> bool:
    poll = select.poll()
    poll.register(stream, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def answer_errors(
    work: Callable[[], object],
    *,
    after_full_disk: str = "earlier results are kept. Re-run the same command to resume.",
    after_interrupt: str = "Re-run the same command to resume from the last checkpoint.",
) -> None:
    """Calls `work`, and prints errors that the user can fix as a sentence on standard error, without a traceback.

    Exits with 2 after a `UserError`, a full disk or a path that cannot be opened, 1 if a bucket did not respond, 75
    after `Stopped`, 130 after Ctrl-C. Any other exception is a bug and keeps its traceback.

    Args:
      work: the whole command, parsing of its arguments included.
      after_full_disk: end of the message of a full disk: what is kept, and what to do.
      after_interrupt: sentence after "Interrupted.".
    """
    try:
        work()
    except Stopped as stop:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would change the exit status
        LOG.warning(f"\n{stop}")
        sys.exit(EXIT_AGAIN)
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, UserError):
            message = f"Error: {error}"
        elif isinstance(error, KeyboardInterrupt):
            message = f"Interrupted. {after_interrupt}"
        elif disk.refuses(error):
            message = (
                f"Error: {error.strerror}: {error.filename or 'while writing'}. "
                f"{disk.remedy(error.strerror)} or name another folder; {after_full_disk}"
            )
        elif sentence := disk.unopened(error):
            message = f"Error: {sentence}"
        else:
            raise
        print_error(message)
        sys.exit(exit_status(error))


def entry_point(main: Callable[[Sequence[str]], object], **messages: str) -> Callable[[Sequence[str]], None]:
    """Returns `main` with its errors answered; `messages` are those of `answer_errors`."""
    return lambda arguments: answer_errors(lambda: main(arguments), **messages)


def exit_status(error: BaseException) -> int:
    """Returns the status that `answer_errors` exits with after this error; 1 for one that keeps its traceback.

    >>> exit_status(UserError("bad input")), exit_status(ValueError("a bug"))
    (2, 1)
    """
    if isinstance(error, Stopped):
        return EXIT_AGAIN
    if isinstance(error, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    bad_input = isinstance(error, UserError) and not isinstance(error, Unreachable)
    return EXIT_USER_ERROR if bad_input or disk.refuses(error) or disk.unopened(error) else EXIT_FAILED


def end_on_request() -> None:
    """Makes SIGTERM end this process at once from here on: during imports of seconds it would look like a crash."""

    def end(*_: object) -> None:
        say_nothing_unsaved()
        os._exit(EXIT_AGAIN)

    signal.signal(signal.SIGTERM, end)


def say_nothing_unsaved() -> None:
    """Writes `NOTHING_UNSAVED` without a buffer: in a signal handler the interpreter may be anywhere."""
    os.write(2, f"\n{NOTHING_UNSAVED}\n".encode())


@contextlib.contextmanager
def ending_at_once() -> Iterator[None]:
    """Ends the process, without Python's shutdown, as soon as the work inside returns or exits with a status.

    Shutdown would wait for threads, of which those of a failed save may never end, and SIGTERM during it would look
    like a crash. An error that keeps its traceback ends the process as always.
    """
    status: object = 0
    try:
        yield
    except SystemExit as end:
        status = end.code or 0
    end_now(status if isinstance(status, int) else 1)


def end_now(status: int) -> None:
    """Flushes output and ends the process, without waiting for its other threads."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def rank_command(index: Path | str, query: str, cache_dir: str = "") -> str:
    """Returns the command that ranks an index for a query, as it can be typed.

    Of a long query it has the beginning, of "" a placeholder.

    >>> rank_command("indexes/my skills", "- plan menus")
    "uwe-jax rank --index 'indexes/my skills' -- '- plan menus'"
    """
    cache = f" --cache-dir {shlex.quote(cache_dir)}" if cache_dir else ""
    text = shlex.quote(query[:_LONGEST_QUERY] or "a query")
    return f"uwe-jax rank --index {shlex.quote(str(index))}{cache} {'-- ' if query.startswith('-') else ''}{text}"
