"""Options of the commands that run a grid of trainings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from uwe_jax.runtime.config_file import split_arguments
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.folder_arguments import data_folders
from uwe_jax.runtime.options import FilePath, NameList, NumberList, Repeated, at_least, read_options

# What every command that runs a grid says of itself last.
ABOUT_END = """Re-run the same command to resume; failed cells are run once more. Exit status: 0 when all cells are
done, 1 when some failed, 2 on bad input, 130 after Ctrl-C."""

# Set by the grid for every cell.
_OURS = {"seed": "--seeds", "workdir": "--out"}


@dataclass(frozen=True)
class GridFlags:
    """Options of a grid on its command line.

    Attributes:
      data: a folder with the data of the tasks; may be repeated.
      tasks: tasks and sets of tasks.
      out: folder of the grid.
      seeds: seeds of the trainings.
      split: half of every task.
      max_queries: queries per task; 0 takes all.
      max_tokens: tokens of a text that an encoder reads.
      offline: never ask the hub for a task.
      discard_checkpoints: remove the checkpoints of a cell when it is done; those of a MiniLM take 160 MB or more.
      dry_run: print the cells and their commands, and stop.
    """

    data: Repeated = ()
    tasks: NameList = ("workbench",)
    out: FilePath = Path("runs/grid")
    seeds: NumberList = (0,)
    split: Literal["any", "test", "validation"] = "any"
    max_queries: int = 1000
    max_tokens: int = 64
    offline: bool = False
    discard_checkpoints: bool = False
    dry_run: bool = False

    def __post_init__(self) -> None:
        at_least(0, max_queries=self.max_queries)
        at_least(3, max_tokens=self.max_tokens)
        for name in ("tasks", "seeds"):
            if not getattr(self, name):
                raise UserError(f"--{name} names nothing. Give at least one.")


@dataclass(frozen=True)
class Options:
    """What a grid is made of.

    Attributes:
      config: `--config` and its overrides, as they were given.
      data: folders with the data of the tasks.
      variants: of the config file; empty: all of them.

    The other fields are those of `GridFlags`.
    """

    config: tuple[str, ...]
    data: tuple[Path, ...] = ()
    tasks: tuple[str, ...] = ("workbench",)
    out: Path = Path("runs/grid")
    seeds: tuple[int, ...] = (0,)
    split: str = "any"
    max_queries: int = 1000
    max_tokens: int = 64
    offline: bool = False
    discard_checkpoints: bool = False
    dry_run: bool = False
    variants: tuple[str, ...] = ()

    @property
    def config_file(self) -> str:
        """The value of `--config`."""
        first = self.config[0]
        return first.partition("=")[2] if "=" in first else self.config[1]


def read_grid_options(flags: type[GridFlags], arguments: Sequence[str], *, command: str, about: str) -> Options:
    """Reads a command line: the settings of a training config, and the options of the grid.

    Args:
      flags: options of this command.
      arguments: behind the name of the command.
      command: such as transfer.
      about: what `--help` prints above the options.

    Raises:
      UserError: there is no config, or a value that cannot be.
    """
    config, ours = split_arguments(arguments)
    chosen = dict(vars(read_options(flags, ours, command=command, about=about, help_if_empty=not config)))
    if not config or not re.match(r"--config(=|$)", config[0]) or config == ["--config"]:
        raise UserError(f"--config=FILE has to come first among the settings. Run `uwe-jax {command} --help`.")
    for argument in config:
        if (named := re.match(r"--config\.(\w+)", argument)) and named[1] in _OURS:
            raise UserError(f"{argument} is set for every cell; use {_OURS[named[1]]} instead.")
    chosen["seeds"] = tuple(dict.fromkeys(chosen["seeds"]))
    return Options(config=tuple(config), **{**chosen, "data": data_folders(chosen["data"])})
