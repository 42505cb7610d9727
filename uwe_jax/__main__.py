"""The command line: `uwe-jax COMMAND ...`, or `python -m uwe_jax COMMAND ...`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from uwe_jax import __version__
from uwe_jax.runtime.command import EXIT_USER_ERROR, answer_errors, ending_when_unread
from uwe_jax.runtime.logging_setup import shown, split_verbosity
from uwe_jax.runtime.progress import print_error
from uwe_jax.runtime.settings import did_you_mean

# Each command is a module of `uwe_jax.commands` with a function `run(arguments)`.
COMMANDS = {
    "Rank": {
        "rank": "rank targets for queries, such as skills for a job title",
        "index": "encode targets once, and keep them on disk or in Qdrant",
        "calibrate": "fit probabilities to the scores of an index, or measure them",
        "serve": "rank over HTTP, with a page to try it on",
    },
    "Train": {
        "train": "train on ESCO, O*NET or your own taxonomy; run again to resume",
        "average": "average the weights of several models",
        "export": "write a model for PyTorch, transformers and sentence-transformers",
    },
    "Measure": {
        "evaluate": "measure models and baselines on WorkBench and on tasks of your own",
        "transfer": "measure what each training graph contributes to each task",
        "ablate": "measure variants of a config over several seeds",
        "benchmark": "measure speed beside a bare matrix product and PyTorch",
    },
    "Data": {
        "describe": "report the content of training graphs, with findings",
        "combine": "merge the sources of a config into one folder of graphs",
        "tag": "find skills in your own vacancies, as graphs to train on",
        "enrich": "generate text for rare skills with a language model",
        "teach": "score pairs for training with a teacher that reads names, too",
    },
}
NAMES = {name: line for group in COMMANDS.values() for name, line in group.items()}


def overview() -> str:
    """Returns the list of commands with a line each."""
    lines = [f"uwe-jax {__version__}: unified work embeddings in JAX", "", "usage: uwe-jax COMMAND [OPTIONS]", ""]
    for group, commands in COMMANDS.items():
        lines += [group, *(f"  {name:<10} {line}" for name, line in commands.items()), ""]
    lines.append("uwe-jax COMMAND --help lists its options; all take --verbose, --quiet.")
    lines.append("uwe-jax --print-completion bash|zsh|fish prints a completion script.")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command; errors raise SystemExit with its status. `arguments` are by default those of this process."""
    level, chosen = split_verbosity(sys.argv[1:] if arguments is None else arguments)
    name, *rest = chosen or ["help"]
    with ending_when_unread():
        if name in ("-h", "--help", "help"):
            print(overview())
        elif name == "--version":
            print(f"uwe-jax {__version__}")
        elif name == "--print-completion":
            from uwe_jax.commands.completion import completion_script

            answer_errors(lambda: print(completion_script(" ".join(rest), NAMES)))
        elif name in NAMES:
            with shown(level):
                importlib.import_module(f"uwe_jax.commands.{name}").run(rest)
        else:
            kind = "option" if name.startswith("-") else "command"
            near = did_you_mean(name, [*NAMES, "--help", "--version", "--print-completion", "--verbose", "--quiet"])
            print_error(f"Error: there is no {kind} {name!r}.{near} `uwe-jax` alone lists the commands.")
            sys.exit(EXIT_USER_ERROR)


if __name__ == "__main__":
    main()
