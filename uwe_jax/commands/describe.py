"""`uwe-jax describe`: reports the content of training graphs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uwe_jax.config import Config
from uwe_jax.curation.describe import defaults
from uwe_jax.curation.describe.description import FILES, describe
from uwe_jax.evaluation.decontamination import load_training_composition
from uwe_jax.evaluation.tasks.catalogue import choose
from uwe_jax.runtime.command import entry_point
from uwe_jax.runtime.config_file import read_command_line, split_arguments
from uwe_jax.runtime.files import data_folders, make_out
from uwe_jax.runtime.options import FilePath, NameList, OptionalPath, Repeated, read_options

ABOUT = f"""Reports the content of training graphs, with findings.

Reads graphs exactly as a training run does: nodes and edges, degrees, coverage of a taxonomy, the longest and the
strangest texts, duplicates, truncated texts, and what they share with every ranking task. Writes {", ".join(FILES)}.
Without --config it takes the defaults of all settings.

  uwe-jax describe --config.source.source=edges --config.source.path=my_graphs --data downloads
  uwe-jax describe --config.source.source=esco --config.source.path=downloads
  uwe-jax describe --config=quickstart"""


@dataclass(frozen=True)
class Options:
    """Options of `uwe-jax describe`, besides --config and its overrides --config.key=value.

    Attributes:
      data: a folder of downloads of tasks and of ESCO; may be repeated; by default the folder of the graphs.
      taxonomy: a file of labels, or the folder of the ESCO zips; by default ESCO in --data.
      tasks: tasks, sets of tasks or task folders.
      out: folder of the results.
    """

    data: Repeated = ()
    taxonomy: OptionalPath = None
    tasks: NameList = ("all",)
    out: FilePath = Path("runs/describe")


def main(arguments: Sequence[str]) -> dict[str, Any]:
    """Describes as the command line says; returns the content of describe.json."""
    settings, others = split_arguments(arguments)
    chosen = read_options(Options, others, command="describe", about=ABOUT, help_if_empty=not settings)
    if not any(re.match(r"--config(=|$)", argument) for argument in settings):
        settings = [f"--config={defaults.__file__}", *settings]
    config = read_command_line(settings, Config, "train")
    own = config.source.tasks_path or config.source.path
    folders = data_folders(chosen.data or ([own] if own and Path(own).expanduser().is_dir() else []))
    tasks = choose(chosen.tasks)
    make_out(chosen.out)
    composition = load_training_composition(config.source)
    return describe(
        composition.graphs,
        config,
        chosen.out,
        folders=folders,
        tasks=tasks,
        taxonomy=chosen.taxonomy,
        provenance=composition.counts(),
    )


run = entry_point(
    main, after_full_disk="re-run the same command.", after_interrupt="Re-run the same command to start again."
)
