"""`uwe-jax export`: writes a model as a folder for PyTorch, transformers, sentence-transformers and `uwe_jax`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from uwe_jax.export.average import Share
from uwe_jax.export.export import ExportOptions, export
from uwe_jax.runtime.command import entry_point
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import cache_folder
from uwe_jax.runtime.options import NameList, OptionalInt, OptionalPath, at_least, read_options

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
class FolderOptions:
    """Options of the folder that `export` and `average` write.

    Attributes:
      out: folder to write; an earlier export there, unchanged since, is replaced.
      name: of the model; by default that of the run.
      max_tokens: of a text; by default 64, or the value of an export.
      license: identifier of the Hugging Face hub for the model card, such as apache-2.0.
      language: ISO codes for the model card; by default those of the ESCO labels.
      onnx: write the encoder as onnx/model.onnx too; needs the extra onnx.
      push_to_hub: upload the folder into this repository, USER/NAME.
      private: make the repository private if it is created now.
      cache_dir: folder of prepared data and encoders; by default $UWE_JAX_CACHE or the user's cache folder.
    """

    out: OptionalPath = None
    name: str = ""
    max_tokens: OptionalInt = None
    license: str = ""
    language: NameList = ()
    onnx: bool = False
    push_to_hub: str = ""
    private: bool = False
    cache_dir: str = ""

    def __post_init__(self) -> None:
        at_least(3, max_tokens=self.max_tokens)

    def export_options(self, models: tuple[Share, ...], command: str) -> ExportOptions:
        """Returns the options of an export of these models; raises UserError without --out."""
        if self.out is None:
            raise UserError(f"--out is required. Run `uwe-jax {command} --help`.")
        chosen = {field.name: getattr(self, field.name) for field in fields(FolderOptions)}
        return ExportOptions(models=models, **{**chosen, "cache_dir": cache_folder(self.cache_dir)})


@dataclass(frozen=True)
class Options(FolderOptions):
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
    export(options.export_options((Share(options.model, 1.0),), "export"))


run = entry_point(main, **UNCHANGED)
