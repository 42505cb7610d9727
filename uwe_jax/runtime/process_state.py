"""Settings of the whole process that a library reads from nowhere else, changed for the time of a call alone.

Calls of several threads may overlap: the first of them keeps what was there before, and the last one puts it back.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

_LOCK = threading.Lock()
_HELD: dict[str, tuple[int, Any]] = {}  # by setting, how many calls hold it, and what it was before


@contextlib.contextmanager
def held(name: str, before: Callable[[], Any], put: Callable[[Any], object], value: Any) -> Iterator[None]:
    """Keeps a setting at `value` inside.

    Args:
      name: of the setting, the same for all that hold it.
      before: reads it.
      put: writes it.
      value: the same for all that hold it.
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


@contextlib.contextmanager
def quiet(**loggers: int) -> Iterator[None]:
    """Keeps loggers, by name, from what is below a level inside, such as `quiet(absl=logging.ERROR)`."""
    with contextlib.ExitStack() as stack:
        for name, level in loggers.items():
            logger = logging.getLogger(name)
            stack.enter_context(
                held(f"logger {name}", functools.partial(getattr, logger, "level"), logger.setLevel, level)
            )
        yield
