"""Libraries that only enrichment needs, imported where they are used."""

from __future__ import annotations

import importlib
from typing import Any

from uwe_jax.base.errors import UserError


def library(module: str) -> Any:
    """A module of the extra `enrich`.

    Raises:
      UserError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and module.split(".")[0] != error.name.split(".")[0]:
            raise
        raise UserError(
            f"Enrichment by a language model needs the Python package {module.split('.')[0]}, which is not installed. "
            "Install it with pip install 'uwe_jax[enrich]', or fill templates offline with --config.generator=template."
        ) from error
