"""`uwe-jax average`: makes one model of several by averaging their weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from uwe_jax.commands.export import UNCHANGED
from uwe_jax.export.export import ExportOptions, export
from uwe_jax.export.subjects import parse_shares
from uwe_jax.runtime.command import entry_point
from uwe_jax.runtime.options import Repeated, read_options

ABOUT = """Makes one model of several by averaging their weights.

The models must have been trained from the same encoder. Weights add up to 1, may be negative, and are equal by default.
The scorer is that of the first trained model. For a folder with an equals sign in its name, give the weight too. The
result is an export (see `uwe-jax export`).

The mean of two runs; and one run plus 0.3 times what another run learned:
  uwe-jax average --model runs/a --model runs/b --out averaged
  uwe-jax average --model runs/a=1 --model runs/b=0.3 --model all-MiniLM-L6-v2=-0.3 --out averaged
  uwe-jax evaluate --model averaged --data downloads"""


@dataclass(frozen=True)
class Options(ExportOptions):
    """Options of `uwe-jax average`.

    Attributes:
      model: NAME or NAME=WEIGHT of a run, an export or an encoder; given once per model.
    """

    model: Repeated = ()


def main(arguments: Sequence[str]) -> None:
    """Averages as the command line says."""
    options = read_options(Options, arguments, command="average", about=ABOUT, renamed={"models": "model"})
    export(options, parse_shares(options.model))


run = entry_point(main, **UNCHANGED)
