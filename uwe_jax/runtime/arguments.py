"""The flags and folders of commands."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import cache_folder
from uwe_jax.runtime.remote import is_remote, local_copy


class Parser(argparse.ArgumentParser):
    """An argparse parser whose complaint is a `UserError`, answered like any other; flags are never abbreviated."""

    def __init__(self, **kwargs):
        super().__init__(**{"allow_abbrev": False, **kwargs})

    @classmethod
    def explained(cls, text: str) -> Parser:
        """One whose help begins with `text`, as the command prints it where it is called without arguments.

        Args:
          text: its first line is how the command is called, `python -m MODULE` and then the flags.
        """
        call, _, more = text.partition("\n")
        return cls(
            prog=" ".join(call.split()[:3]),
            usage=call,
            description=more.strip(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        raise UserError(f"Command line: {message}. `{self.prog} --help` lists what there is.")


def names(text: str) -> tuple[str, ...]:
    """The parts of a comma-separated list, stripped; empty ones do not count.

    >>> names("soft, mean_pool,")
    ('soft', 'mean_pool')
    """
    return tuple(part.strip() for part in text.split(",") if part.strip())


def some_names(text: str) -> tuple[str, ...]:
    """`names`, of which there must be one."""
    if not names(text):
        raise argparse.ArgumentTypeError(f"{text!r} names nothing")
    return names(text)


def check_least(chosen: Mapping[str, Any], **least: int) -> None:
    """Raises a UserError where a flag is below its least value.

    >>> check_least({"max_queries": 5, "out": "runs"}, max_queries=0)
    """
    for name, value in least.items():
        if chosen[name] < value:
            raise UserError(f"Command line: --{name} is {chosen[name]}; it must be at least {value}.")


def data_folders(paths: Iterable[str | Path]) -> tuple[Path, ...]:
    """The folders of `--data`; of one in a bucket, a local copy.

    Raises:
      UserError: one of them is no folder.
    """
    folders = tuple(local_copy(str(p), cache_folder()) if is_remote(p) else Path(p).expanduser() for p in paths)
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"--data {folder} is no folder. Name the one that holds the downloads.")
    return folders


def make_out(out: Path) -> None:
    """Makes the folder of `--out`, before hours of work that would end there.

    Raises:
      UserError: it cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise UserError(f"Cannot write to {out}: {error.strerror}. Name another folder with --out.") from error
