"""Options of the commands that write an export."""

from __future__ import annotations

from dataclasses import dataclass

from uwe_jax.export.average import Share
from uwe_jax.export.export import ExportOptions
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import cache_folder
from uwe_jax.runtime.options import NameList, OptionalInt, OptionalPath, at_least


@dataclass(frozen=True)
class FolderOptions:
    """What is written where.

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
        """Returns the options of an export of these models.

        Raises:
          UserError: there is no --out.
        """
        if self.out is None:
            raise UserError(f"--out is required. Run `uwe-jax {command} --help`.")
        names = ("name", "max_tokens", "license", "language", "onnx", "push_to_hub", "private")
        chosen = {name: getattr(self, name) for name in names}
        return ExportOptions(models=models, out=self.out, cache_dir=cache_folder(self.cache_dir), **chosen)
