"""Options of the commands that run a grid of trainings."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from uwe_jax.runtime.config_file import split_arguments
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import data_folders
from uwe_jax.runtime.options import FilePath, NameList, NumberList, Repeated, at_least, read_options

# The end of every such command's help.
ABOUT_END = """Re-run the same command to resume; failed cells are run once more. Exit status: 0 when all cells are
done, 1 when some failed, 2 on bad input, 130 after Ctrl-C."""

_SET_BY_GRID = {"seed": "--seeds", "workdir": "--out"}


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
                raise UserError(f"--{name} is empty. Give at least one.")


F = TypeVar("F", bound=GridFlags)


def read_grid_options(
    flags: type[F], arguments: Sequence[str], *, command: str, about: str
) -> tuple[tuple[str, ...], F]:
    """Reads a command line: the settings of a training config, and the options of the grid.

    Returns:
      `--config=FILE` with its overrides; and the options, `data` as local folders.

    Raises:
      UserError: there is no config, or a value is invalid.
    """
    config, ours = split_arguments(arguments)
    options = read_options(flags, ours, command=command, about=about, help_if_empty=not config)
    if not config or not re.match(r"--config(=|$)", config[0]) or config == ["--config"]:
        raise UserError(f"--config=FILE has to come first among the settings. Run `uwe-jax {command} --help`.")
    for argument in config:
        if (named := re.match(r"--config\.(\w+)", argument)) and named[1] in _SET_BY_GRID:
            raise UserError(f"{argument} is set for every cell; use {_SET_BY_GRID[named[1]]} instead.")
    if config[0] == "--config":
        config = [f"--config={config[1]}", *config[2:]]
    data = tuple(map(str, data_folders(options.data)))
    return tuple(config), dataclasses.replace(options, seeds=tuple(dict.fromkeys(options.seeds)), data=data)
