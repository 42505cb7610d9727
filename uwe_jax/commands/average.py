"""`uwe-jax average`: makes one model of several by averaging their weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from uwe_jax.commands.export_options import FolderOptions
from uwe_jax.export.average import parse_shares
from uwe_jax.export.export import export
from uwe_jax.runtime.command import answer_errors
from uwe_jax.runtime.options import Repeated, read_options

ABOUT = """Makes one model of several by averaging their weights.

The parameters of the encoder are the weighted sum of those of the models, which were trained from one encoder. Weights
add up to 1, may be negative, and are equal where none is given. A folder whose name holds an equals sign is taken as a
name; its weight follows as another =WEIGHT. The scorer is that of the first trained model. The
result is an export (see `uwe-jax export`).

The mean of two runs; and one run, to which a third of what another one learned is added:
  uwe-jax average --model runs/a --model runs/b --out averaged
  uwe-jax average --model runs/a=1 --model runs/b=0.3 --model all-MiniLM-L6-v2=-0.3 --out averaged
  uwe-jax evaluate --model averaged --data downloads"""


@dataclass(frozen=True)
class Options(FolderOptions):
    """Options of `uwe-jax average`.

    Attributes:
      model: NAME or NAME=WEIGHT of a run, an export or an encoder; given once per model.
    """

    model: Repeated = ()


def main(arguments: Sequence[str]) -> None:
    """Averages as the command line says.

    Raises:
      UserError: for anything that the user can fix.
    """
    options = read_options(Options, arguments, command="average", about=ABOUT, renamed={"models": "model"})
    export(options.export_options(parse_shares(options.model), "average"))


def run(arguments: Sequence[str]) -> None:
    """Runs the command; errors end the process with its exit status."""
    answer_errors(
        lambda: main(arguments),
        after_full_disk="the folder of --out is unchanged.",
        after_interrupt="The folder of --out is whole: as it was, or the new one.",
    )
