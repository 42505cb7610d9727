"""Shell completion of `uwe-jax`: its commands, their options and the settings of their configs."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import operator
from collections.abc import Mapping
from typing import Annotated, Any

import tyro

from uwe_jax.commands import ablate, average, benchmark, combine, describe, enrich, export, teach, transfer
from uwe_jax.config import Config
from uwe_jax.curation.enrich.settings import EnrichmentSettings
from uwe_jax.curation.tag.run import TaggingOptions
from uwe_jax.evaluation.calibrate.options import CalibrateOptions
from uwe_jax.evaluation.options import EvaluationOptions
from uwe_jax.retrieval.options import IndexOptions, RankOptions
from uwe_jax.runtime.config_file import settings_field
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.options import Verbosity
from uwe_jax.serving.options import ServiceOptions

SHELLS = ("bash", "zsh", "fish")
_OPTIONS: dict[str, type] = {
    "rank": RankOptions,
    "index": IndexOptions,
    "transfer": transfer.Flags,
    "ablate": ablate.Flags,
    "evaluate": EvaluationOptions,
    "calibrate": CalibrateOptions,
    "serve": ServiceOptions,
    "tag": TaggingOptions,
    **{
        module.__name__.rpartition(".")[2]: module.Options
        for module in (average, export, describe, combine, enrich, teach)
    },
}
_SETTINGS: dict[str, type] = {
    **dict.fromkeys(("train", "transfer", "ablate", "describe", "combine"), Config),
    "enrich": EnrichmentSettings,
}


def completion_script(shell: str, commands: Mapping[str, str]) -> str:
    """Returns the script by which a shell completes `uwe-jax`.

    Args:
      shell: one of `SHELLS`.
      commands: a line of help by name.

    Raises:
      UserError: for another shell.
    """
    if shell not in SHELLS:
        raise UserError(f"--print-completion is {shell!r}; it must be one of {', '.join(SHELLS)}.")
    modes = {mode: options for mode, (options, _) in benchmark._MODES.items()}
    types = {name: _type(name) for name in commands} | {"benchmark": _one_of(dict.fromkeys(modes, ""), modes)}
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        tyro.cli(_one_of(commands, types), prog="uwe-jax", args=["--tyro-print-completion", shell])
    return out.getvalue()


def _type(name: str) -> Any:
    """Returns a dataclass of all that a command reads: its options, and --config with the settings below it."""
    fields: list[Any] = []
    if settings := _SETTINGS.get(name):
        file = Annotated[str, tyro.conf.arg(name="config", help="config file, or the name of a shipped config")]
        fields = [("config_file", file, ""), settings_field(settings)]
    bases = (Verbosity, *([_OPTIONS[name]] if name in _OPTIONS else []))
    return dataclasses.make_dataclass(name, fields, bases=bases, frozen=True, kw_only=True)


def _one_of(lines: Mapping[str, str], types: Mapping[str, Any]) -> Any:
    """Returns the union of types as subcommands, each with a line of help."""
    return functools.reduce(
        operator.or_,
        (
            Annotated[types[name], tyro.conf.subcommand(name, description=line, prefix_name=False)]
            for name, line in lines.items()
        ),
    )
