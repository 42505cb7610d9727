"""Libraries of the project's extras, imported where they are used."""

from __future__ import annotations

import importlib
from typing import Any

from uwe_jax.runtime.errors import UserError


def extra_library(module: str, *, use: str, install: str) -> Any:
    """A module of a library that the package itself does without.

    Args:
      module: dotted name.
      use: what needs it, the start of the sentence of an error.
      install: how to install it or do without it, what follows "Install it with" there.

    Raises:
      UserError: it is not installed. What is missing inside an installed library keeps its own error.
    """
    name = module.split(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and name != error.name.split(".")[0]:
            raise
        raise UserError(
            f"{use} needs the Python package {name}, which is not installed. Install it with {install}."
        ) from error
