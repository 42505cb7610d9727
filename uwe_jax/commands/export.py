"""`uwe-jax export`: writes a model as a folder for PyTorch, transformers, sentence-transformers and `uwe_jax`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from uwe_jax.export.export import ExportOptions, export
from uwe_jax.export.subjects import Share
from uwe_jax.runtime.command import entry_point
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.options import read_options

ABOUT = """Writes a model as a folder for PyTorch.

The folder is read by transformers, by sentence-transformers (one mean-pooled vector per text) and by uwe_jax; it also
holds the scorer in plain PyTorch and a model card. PyTorch is not needed, except for --onnx:
  uwe-jax export --model runs/mine --out exported
  uwe-jax export --model runs/mine --out exported --license apache-2.0 --push-to-hub user/name
  uwe-jax evaluate --model exported --data downloads"""


UNCHANGED = {
    "after_full_disk": "the folder of --out is unchanged.",
    "after_interrupt": "The folder of --out is complete: the former export or the new one.",
}


@dataclass(frozen=True)
class Options(ExportOptions):
    """Options of `uwe-jax export`.

    Attributes:
      model: folder of a training run (its best checkpoint), an export, or an encoder.
    """

    model: str = ""


def main(arguments: Sequence[str]) -> None:
    """Exports as the command line says."""
    options = read_options(Options, arguments, command="export", about=ABOUT, renamed={"checkpoint": "model"})
    if not options.model:
        raise UserError("--model is required. Run `uwe-jax export --help`.")
    export(options, (Share(options.model, 1.0),))


run = entry_point(main, **UNCHANGED)
