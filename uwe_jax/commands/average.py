"""`uwe-jax average --models A=0.5 --models B=0.5 --out=...`: one model of several, their weights averaged.

Without models it says how it is called.
"""

from __future__ import annotations

import os

if __name__ == "__main__":  # an importer's environment is its own
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # XLA's notes on how it compiles are not the user's concern

import sys
from collections.abc import Sequence

from uwe_jax.export.average import parse_shares
from uwe_jax.export.export import export
from uwe_jax.export.flags import add_flags, options_of
from uwe_jax.runtime.arguments import Parser
from uwe_jax.runtime.command import answer_errors

_PROGRAM = "uwe-jax average"
USAGE = """uwe-jax average --models NAME=WEIGHT --models NAME=WEIGHT ... --out FOLDER [--flag value ...]

The encoder's parameters are the weighted sum of those of the models, which were trained from one encoder. Weights add
up to 1, may be negative, and are equal where none is given. A folder whose name holds an equals sign is taken as a
name; its weight follows as another =WEIGHT. The scorer is that of the first trained model. The folder is an export (see
uwe-jax export): uwe_jax, transformers and sentence-transformers read it.

For example, the mean of two runs; and one run, to which a third of what another one learned is added:
  uwe-jax average --models runs/a --models runs/b --out averaged
  uwe-jax average --models runs/a=1 --models runs/b=0.3 --models all-MiniLM-L6-v2=-0.3 --out averaged
  uwe-jax evaluate --models averaged --data downloads

--help lists all flags."""


def main(arguments: Sequence[str]) -> None:
    """Averages as the command line says.

    Raises:
      UserError: for anything that the user can mend.
    """
    if not arguments:
        print(USAGE)
        return
    parser = Parser.explained(USAGE)
    parser.add_argument(
        "--models", action="append", default=[], metavar="NAME=WEIGHT", help="a run, an export or an encoder; repeated"
    )
    add_flags(parser)
    chosen = vars(parser.parse_args(arguments))
    export(options_of(chosen, parse_shares(chosen.pop("models")), _PROGRAM))


if __name__ == "__main__":
    answer_errors(
        lambda: main(sys.argv[1:]),
        after_full_disk="the folder of --out is as it was.",
        after_interrupt="The folder of --out is whole: as it was, or the new one.",
    )
