"""`uwe-jax describe --config.source.source=edges --config.source.path=FOLDER`: what training graphs hold.

Without arguments it says how it is called.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from uwe_jax.config import Config
from uwe_jax.curation.describe import defaults
from uwe_jax.curation.describe.description import FILES, Comparison, describe
from uwe_jax.evaluation.decontamination import load_training_composition
from uwe_jax.evaluation.tasks.catalogue import SETS, choose
from uwe_jax.runtime.arguments import Parser, data_folders, make_out, some_names
from uwe_jax.runtime.command import answer_errors
from uwe_jax.runtime.config_file import read_command_line

_PROGRAM = "uwe-jax describe"
_OUT = Path("runs/describe")
USAGE = f"""{_PROGRAM} [--config=FILE] [--config.key=value ...] [--data FOLDER ...] [--flag value ...]

Reads graphs exactly as a training run does and says what they hold: nodes and edges, degrees, coverage of a taxonomy,
the longest and the strangest texts, duplicates, texts that are cut, and what they share with every ranking task.
Writes {", ".join(FILES)}. Without --config it takes the defaults of all settings.

For example, one's own files, ESCO as downloaded, or what a config trains on:
  {_PROGRAM} --config.source.source=edges --config.source.path=my_graphs --data downloads
  {_PROGRAM} --config.source.source=esco --config.source.path=downloads
  {_PROGRAM} --config=quickstart

--help lists all flags."""


def _parser() -> Parser:
    parser = Parser.explained(USAGE)
    add = parser.add_argument
    add(
        "--data",
        action="append",
        default=[],
        help="a folder that holds downloads of tasks and of ESCO; repeat the flag for several (default: the folder "
        "that the graphs are read from)",
    )
    add("--taxonomy", type=Path, help="a file of labels, or the folder of the ESCO zips (default: ESCO in --data)")
    add(
        "--tasks",
        type=some_names,
        default=("all",),
        help=f"tasks, sets of tasks ({', '.join(SETS)}) or folders (default: all)",
    )
    add("--out", type=Path, default=_OUT, help=f"folder of the results (default: {_OUT})")
    return parser


def _folders(chosen: Sequence[str], config: Config) -> tuple[Path, ...]:
    """Those of --data, else the one that the graphs themselves are read from."""
    own = [path for path in (config.source.tasks_path, config.source.path) if path]
    return data_folders(chosen or [path for path in own[:1] if Path(path).expanduser().is_dir()])


def main(arguments: Sequence[str]) -> dict[str, Any] | None:
    """Describes as the command line says; returns what is written to describe.json.

    Raises:
      UserError: for anything that the user can mend.
    """
    if not arguments:
        print(USAGE)
        return None
    # What is left over are the settings, in the form in which every command takes them.
    chosen, settings = _parser().parse_known_args(arguments)
    if not any(re.match(r"--config(=|$)", argument) for argument in settings):
        settings = [f"--config={defaults.__file__}", *settings]
    config = read_command_line(settings, Config, "train")
    comparison = Comparison(_folders(chosen.data, config), choose(chosen.tasks), chosen.taxonomy)
    out = chosen.out.expanduser()
    make_out(out)
    composition = load_training_composition(config.source)
    return describe(composition.graphs, config, comparison, out, provenance=composition.counts())


def run(arguments: Sequence[str]) -> None:
    """Runs the command; errors end the process with its exit status."""
    answer_errors(
        lambda: main(arguments),
        after_full_disk="the same command describes the graphs again.",
        after_interrupt="The same command starts again.",
    )
