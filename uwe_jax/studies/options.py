"""The command line of experiments: the flags of `train` after `--config`, and those of the grid and its evaluation."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uwe_jax.runtime.arguments import Parser, check_least, data_folders, names, some_names
from uwe_jax.runtime.errors import UserError

# What every command that runs a grid says of itself last.
USAGE_END = """The same command again goes on where it stopped, and runs failed cells once more. Exit status: 0 when all
cells are done, 1 when some failed, 2 on bad input, 130 after Ctrl-C. --help lists all flags."""

# Set by the grid for every cell.
_OURS = {"seed": "--seeds", "workdir": "--out"}


@dataclass(frozen=True)
class Options:
    """What a grid is made of.

    Attributes:
      config: `--config` and its overrides, as they were given.
      data: folders with the data of the tasks.
      tasks: names of tasks and of sets of tasks.
      out: folder of the grid.
      seeds: of the trainings.
      split: of every task.
      max_queries: of every task; 0 takes all.
      max_tokens: that an encoder reads of a text.
      offline: never ask the hub for a task.
      discard_checkpoints: remove a cell's checkpoints when it is done.
      dry_run: say what would be run, and stop.
      variants: of the config file; empty: all of them.
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
        """What stands behind `--config`."""
        first = self.config[0]
        return first.partition("=")[2] if "=" in first else self.config[1]


def _seeds(text: str) -> tuple[int, ...]:
    if not all(part.isdecimal() for part in names(text)) or not names(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers such as 0,1,2")
    return tuple(dict.fromkeys(int(part) for part in names(text)))


def _split_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Arguments that belong to the training config, and the others."""
    config: list[str] = []
    ours: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if not re.match(r"--(no)?config([.=]|$)", argument):
            ours.append(argument)
            continue
        config.append(argument)
        if "=" not in argument and rest and not rest[0].startswith("--"):
            config.append(rest.pop(0))
    return config, ours


def read_options(program: str, usage: str, arguments: Sequence[str], defaults: dict[str, Any]) -> Options:
    """Reads a command line.

    Args:
      program: such as uwe-jax transfer.
      usage: what `--help` says above the list of flags.
      arguments: behind the program.
      defaults: of this command, where they are not those of `Options`; `variants` among them adds that flag.

    Raises:
      UserError: a flag is unknown, missing or has an impossible value.
    """
    config, ours = _split_arguments(arguments)
    standard = Options((), **defaults)
    parser = Parser(
        prog=program, usage=argparse.SUPPRESS, description=usage, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", action="append", default=[], help="a folder that holds the tasks' data; may be repeated")
    add(
        "--tasks", type=some_names, default=standard.tasks, help=f"tasks and sets of tasks ({','.join(standard.tasks)})"
    )
    add("--out", type=Path, default=standard.out, help=f"folder of the grid ({standard.out})")
    add("--seeds", type=_seeds, default=standard.seeds, help=f"of the trainings ({','.join(map(str, standard.seeds))})")
    if "variants" in defaults:
        add("--variants", type=names, default=(), help="of the config file's VARIANTS (all)")
    add("--split", choices=("any", "test", "validation"), default=standard.split, help=f"({standard.split})")
    add(
        "--max_queries", type=int, default=standard.max_queries, help=f"of a task; 0 takes all ({standard.max_queries})"
    )
    add("--max_tokens", type=int, default=standard.max_tokens, help=f"read of a text ({standard.max_tokens})")
    add("--offline", action="store_true", help="never ask the hub for a task")
    add(
        "--discard_checkpoints",
        action="store_true",
        help="remove a cell's checkpoints when it is done; a MiniLM's take 160 MB or more",
    )
    add("--dry_run", action="store_true", help="print the cells and their commands, and stop")
    chosen = vars(parser.parse_args(ours))
    if not config or not re.match(r"--config(=|$)", config[0]) or config == ["--config"]:
        raise UserError(
            f"Command line: --config=FILE has to come first among the settings. `{program}` alone says how."
        )
    check_least(chosen, max_queries=0, max_tokens=3)
    for argument in config:
        if (named := re.match(r"--config\.(\w+)", argument)) and named[1] in _OURS:
            raise UserError(f"Command line: {argument} is set for every cell; use {_OURS[named[1]]} instead.")
    folders = {"data": data_folders(chosen["data"]), "out": chosen["out"].expanduser()}
    return Options(config=tuple(config), **{**chosen, **folders})
