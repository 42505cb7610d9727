"""Reading the flags of commands that take no config file."""

from __future__ import annotations

import argparse
from typing import NoReturn

from uwe_jax.base.errors import UserError


class Parser(argparse.ArgumentParser):
    """An argparse parser whose complaint is a `UserError`, answered like any other; flags are never abbreviated."""

    def __init__(self, **kwargs):
        super().__init__(**{"allow_abbrev": False, **kwargs})

    def error(self, message: str) -> NoReturn:
        raise UserError(f"Command line: {message}. `{self.prog} --help` lists what there is.")


def names(text: str) -> tuple[str, ...]:
    """The parts of a comma-separated list, stripped; empty ones do not count.

    >>> names("soft, mean_pool,")
    ('soft', 'mean_pool')
    """
    return tuple(part.strip() for part in text.split(",") if part.strip())
