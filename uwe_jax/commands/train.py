"""`uwe-jax train --config=quickstart`: trains Unified Work Embeddings on bipartite graphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from uwe_jax.config import Config
from uwe_jax.runtime.command import answer_errors, end_on_request, ending_at_once
from uwe_jax.runtime.config_file import config_help, read_command_line
from uwe_jax.runtime.memory import keep_freed_memory
from uwe_jax.runtime.supervisor import supervise

ABOUT = """Trains Unified Work Embeddings on graphs of skills against job titles, vacancy sentences and aliases.

  uwe-jax train --config=quickstart
  uwe-jax train --config=esco_minilm --config.source.path=downloads
  uwe-jax train --config=my/config.py --config.workdir=runs/mine --config.steps=600

FILE is the name of a shipped config or a path. Re-run the same command to resume."""


def train(config: Config, arguments: Sequence[str] = ()) -> dict[str, Any]:
    """Trains as the config says; returns summary.json's content. `arguments` go into the commands at the end."""
    # Imported here: they take seconds, and SIGTERM and the supervisor are set up before them.
    from uwe_jax.evaluation.decontamination import load_training_graphs
    from uwe_jax.training import loop

    return loop.train(config, load_training_graphs, arguments)


def main(arguments: Sequence[str]) -> None:
    """Trains as the command line says; its help lists the configs that ship with the package."""
    if {"-h", "--help"} & set(arguments):
        print(config_help(Config, "train", ABOUT))
        return
    train(read_command_line(arguments, Config, "train"), arguments)


def run(arguments: Sequence[str]) -> None:
    """Runs the command, and ends the process with its exit status."""
    end_on_request()
    supervise()
    keep_freed_memory()
    with ending_at_once():
        answer_errors(lambda: main(arguments))
