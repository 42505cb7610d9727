"""The log of a service."""

from __future__ import annotations

import logging

LOG = logging.getLogger("uwe_jax.serving")


def write_log() -> None:
    """Sends log lines of the service, and of uvicorn's troubles, to standard error; other loggers stay as they are."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for logger, level in ((LOG, logging.INFO), (logging.getLogger("uvicorn.error"), logging.WARNING)):
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
