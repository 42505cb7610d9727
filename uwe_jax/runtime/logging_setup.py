"""Shows log records on standard error while a command runs; imported as a library, the package configures nothing."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence

from tqdm import tqdm

from uwe_jax.runtime.printable import printable
from uwe_jax.runtime.progress import is_silent

LOG = logging.getLogger("uwe_jax")
# Libraries that log outside of `logging`'s root, and read their level from the environment on import.
_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "2", "HF_HUB_VERBOSITY": "error", "TRANSFORMERS_VERBOSITY": "error"}
_ALWAYS = {"uvicorn.error": logging.WARNING}  # requests that are not HTTP
_LEVELS = {"--verbose": logging.DEBUG, "--quiet": logging.WARNING}


def split_verbosity(arguments: Sequence[str]) -> tuple[int, list[str]]:
    """Removes --verbose and --quiet from a command line, up to a bare --; the last one wins.

    >>> split_verbosity(["rank", "--quiet", "chef", "--", "--verbose"])
    (30, ['rank', 'chef', '--', '--verbose'])

    Returns:
      The level of the package's log records, and the other arguments.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    given = [_LEVELS[each] for each in arguments[:end] if each in _LEVELS]
    others = [each for each in arguments[:end] if each not in _LEVELS]
    return (given or [logging.INFO])[-1], [*others, *arguments[end:]]


class Lines(logging.Handler):
    """Writes records to standard error, above a progress bar, with control characters escaped.

    Args:
      others: level of the records of other libraries. Those of the package are filtered by its logger.
    """

    def __init__(self, others: int = logging.NOTSET):
        super().__init__()
        self._others = others

    def emit(self, record: logging.LogRecord) -> None:
        """Writes the record; of several processes of one training all but the first write errors alone."""
        own = record.name.partition(".")[0] == LOG.name
        least = logging.NOTSET if own else _ALWAYS.get(record.name, self._others)
        if record.levelno >= (logging.ERROR if is_silent() else least):
            tqdm.write(printable(self.format(record)), file=sys.stderr)


@contextlib.contextmanager
def shown(level: int) -> Iterator[None]:
    """Shows records of the package from a level on, and of others from ERROR on (from INFO on if the level is DEBUG).

    Python's warnings are shown at DEBUG alone, unless -W or PYTHONWARNINGS asks for them.
    """
    root = logging.getLogger()
    handlers, before = root.handlers, (root.level, LOG.level)
    verbose = level == logging.DEBUG
    handler = Lines(logging.INFO if verbose else logging.ERROR)
    variables = {} if verbose else {name: value for name, value in _QUIET.items() if name not in os.environ}
    with warnings.catch_warnings():
        if verbose:
            root.setLevel(logging.INFO)
        else:
            warnings.simplefilter("ignore", append=True)
        os.environ.update(variables)
        # Without the handler of an enclosing command, so that each line is shown once.
        root.handlers = [each for each in handlers if not isinstance(each, Lines)] + [handler]
        LOG.setLevel(level)
        try:
            yield
        finally:
            for name in variables:
                os.environ.pop(name, None)
            root.handlers = handlers + [each for each in root.handlers if each not in (*handlers, handler)]
            root.setLevel(before[0])
            LOG.setLevel(before[1])


def with_times() -> None:
    """Prefixes the lines of the running command with time and level, as in the log of a service."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, Lines):
            handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
