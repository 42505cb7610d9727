"""Flags of the commands that write an export."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from uwe_jax.export.average import Share
from uwe_jax.export.export import ExportOptions
from uwe_jax.runtime.arguments import check_least, names
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import cache_folder


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds all flags but the one that names models."""
    add = parser.add_argument
    add("--out", default="", help="folder to write")
    add("--name", default="", help="of the model (default: that of the run)")
    add("--max_tokens", type=int, help="of a text (default: 64, or that of an export)")
    add("--license", default="", help="an identifier of the hub for the model card, such as apache-2.0")
    add("--language", type=names, default=(), help="ISO codes for the model card (default: of the ESCO labels)")
    add("--onnx", action="store_true", help="write the encoder as onnx/model.onnx too; needs pip install uwe_jax[onnx]")
    add("--push_to_hub", default="", metavar="USER/NAME", help="upload the folder into this repository")
    add("--private", action="store_true", help="make the repository private where it is made now")
    add("--cache_dir", default="", help="prepared data and encoders (default: $UWE_JAX_CACHE or the user's cache)")


def options_of(chosen: dict[str, Any], models: tuple[Share, ...], program: str) -> ExportOptions:
    """The options of an export by what the flags of `add_flags` gave.

    Raises:
      UserError: a flag is missing or out of range.
    """
    if not chosen["out"]:
        raise UserError(f"Command line: no --out. `{program}` alone says how it is called.")
    if chosen["max_tokens"] is not None:
        check_least(chosen, max_tokens=3)
    folders = {"out": Path(chosen["out"]), "cache_dir": cache_folder(chosen["cache_dir"])}
    return ExportOptions(**{**chosen, **folders, "models": models})
