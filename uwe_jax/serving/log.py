"""The log of a service."""

from __future__ import annotations

import logging

from uwe_jax.runtime.printable import printable

LOG = logging.getLogger("uwe_jax.serving")


class _PrintableFormatter(logging.Formatter):
    """Escapes what a terminal would obey: addresses, names, paths and messages come from others."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def write_log() -> None:
    """Sends log lines of the service, and of uvicorn's troubles, to standard error; other loggers stay as they are."""
    handler = logging.StreamHandler()
    handler.setFormatter(_PrintableFormatter("%(asctime)s %(levelname)s %(message)s"))
    for logger, level in ((LOG, logging.INFO), (logging.getLogger("uvicorn.error"), logging.WARNING)):
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
