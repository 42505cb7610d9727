"""`uwe-jax export --checkpoint=... --out=...`: a model as a folder for PyTorch, for others and for `uwe_jax`.

Without a checkpoint it says how it is called.
"""

from __future__ import annotations

import os

if __name__ == "__main__":  # an importer's environment is its own
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # XLA's notes on how it compiles are not the user's concern

import sys
from collections.abc import Sequence

from uwe_jax.export.average import Share
from uwe_jax.export.export import ExportOptions, export
from uwe_jax.export.flags import add_flags, options_of
from uwe_jax.runtime.arguments import Parser
from uwe_jax.runtime.command import answer_errors
from uwe_jax.runtime.errors import UserError

_PROGRAM = "uwe-jax export"
USAGE = """uwe-jax export --checkpoint MODEL --out FOLDER [--flag value ...]

The folder is read by transformers, by sentence-transformers (one mean-pooled vector a text) and by uwe_jax; with it
come the scorer in plain PyTorch and a model card. A folder that is an earlier export, unchanged since, is replaced; any
other that holds something is refused. PyTorch is not needed, except for --onnx.

For example:
  uwe-jax export --checkpoint runs/mine --out exported
  uwe-jax export --checkpoint runs/mine --out exported --license apache-2.0 --push_to_hub user/name
  uwe-jax evaluate --models exported --data downloads

--help lists all flags."""


def _parser() -> Parser:
    parser = Parser.explained(USAGE)
    parser.add_argument(
        "--checkpoint", default="", help="folder of a training run (its best checkpoint), an export, or an encoder"
    )
    add_flags(parser)
    return parser


def _options(arguments: Sequence[str]) -> ExportOptions:
    chosen = vars(_parser().parse_args(arguments))
    checkpoint = chosen.pop("checkpoint")
    if not checkpoint:
        raise UserError(f"Command line: no --checkpoint. `{_PROGRAM}` alone says how it is called.")
    return options_of(chosen, (Share(checkpoint, 1.0),), _PROGRAM)


def main(arguments: Sequence[str]) -> None:
    """Exports as the command line says.

    Raises:
      UserError: for anything that the user can mend.
    """
    if not arguments:
        print(USAGE)
        return
    export(_options(arguments))


if __name__ == "__main__":
    answer_errors(
        lambda: main(sys.argv[1:]),
        after_full_disk="the folder of --out is as it was.",
        after_interrupt="The folder of --out is whole: as it was, or the new one.",
    )
