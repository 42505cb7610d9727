"""Changes process-wide settings of libraries for the duration of a call.

Calls of several threads may overlap: the first one saves the earlier value, and the last one restores it.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

_LOCK = threading.Lock()
_HELD: dict[str, tuple[int, Any]] = {}  # by setting: number of holders, earlier value


@contextlib.contextmanager
def held(name: str, before: Callable[[], Any], put: Callable[[Any], object], value: Any) -> Iterator[None]:
    """Keeps the setting `name`, read by `before` and written by `put`, at `value` during the block.

    All holders of a setting must give the same value.
    """
    with _LOCK:
        count, earlier = _HELD[name] if name in _HELD else (0, before())
        _HELD[name] = count + 1, earlier
        put(value)
    try:
        yield
    finally:
        with _LOCK:
            count, earlier = _HELD.pop(name)
            if count > 1:
                _HELD[name] = count - 1, earlier
            else:
                put(earlier)


def variable(name: str, value: str) -> contextlib.AbstractContextManager[None]:
    """Keeps an environment variable at a value during a block."""

    def put(given: str | None) -> None:
        if given is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = given

    return held(f"variable {name}", lambda: os.environ.get(name), put, value)


@contextlib.contextmanager
def quiet(**loggers: int) -> Iterator[None]:
    """Raises the levels of loggers, by name, during the block, such as `quiet(absl=logging.ERROR)`."""
    with contextlib.ExitStack() as stack:
        for name, level in loggers.items():
            logger = logging.getLogger(name)
            stack.enter_context(
                held(f"logger {name}", functools.partial(getattr, logger, "level"), logger.setLevel, level)
            )
        yield
