"""`python -m uwe_jax.export --checkpoint=... --out=...`: a model as a folder for PyTorch, for others and for `uwe_jax`.

Without a checkpoint it says how it is called.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # XLA's notes on how it compiles are not the user's concern

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from uwe_jax.base.arguments import Parser, check_least, names
from uwe_jax.base.command import answer_errors
from uwe_jax.base.errors import UserError
from uwe_jax.base.files import cache_folder
from uwe_jax.exporting.export import ExportOptions, export

_PROGRAM = "python -m uwe_jax.export"
USAGE = """python -m uwe_jax.export --checkpoint MODEL --out FOLDER [--flag value ...]

The folder is read by transformers, by sentence-transformers (one mean-pooled vector a text) and by uwe_jax; with it
come the scorer in plain PyTorch and a model card. A folder that is an earlier export, unchanged since, is replaced; any
other that holds something is refused. PyTorch is not needed, except for --onnx.

For example:
  python -m uwe_jax.export --checkpoint runs/mine --out exported
  python -m uwe_jax.export --checkpoint runs/mine --out exported --license apache-2.0 --push_to_hub user/name
  python -m uwe_jax.evaluate --models exported --data downloads

--help lists all flags."""


def _parser() -> Parser:
    parser = Parser(
        prog=_PROGRAM,
        description=USAGE,
        usage=f"{_PROGRAM} --checkpoint MODEL --out FOLDER [--flag value ...]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--checkpoint", default="", help="folder of a training run (its best checkpoint), an export, or an encoder")
    add("--out", default="", help="folder to write")
    add("--name", default="", help="of the model (default: that of the run)")
    add("--max_tokens", type=int, help="of a text (default: 64, or that of an export)")
    add("--license", default="", help="an identifier of the hub for the model card, such as apache-2.0")
    add("--language", type=names, default=(), help="ISO codes for the model card (default: of the ESCO labels)")
    add("--onnx", action="store_true", help="write the encoder as onnx/model.onnx too; needs pip install uwe_jax[onnx]")
    add("--push_to_hub", default="", metavar="USER/NAME", help="upload the folder into this repository")
    add("--private", action="store_true", help="make the repository private where it is made now")
    add("--cache_dir", default="", help="prepared data and encoders (default: $UWE_JAX_CACHE or the user's cache)")
    return parser


def _options(arguments: Sequence[str]) -> ExportOptions:
    chosen = vars(_parser().parse_args(arguments))
    for flag in ("checkpoint", "out"):
        if not chosen[flag]:
            raise UserError(f"Command line: no --{flag}. `{_PROGRAM}` alone says how it is called.")
    if chosen["max_tokens"] is not None:
        check_least(chosen, max_tokens=3)
    return ExportOptions(**{**chosen, "out": Path(chosen["out"]), "cache_dir": cache_folder(chosen["cache_dir"])})


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
        after_interrupt="The folder of --out is as it was.",
    )
