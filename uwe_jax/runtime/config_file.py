"""Reads config files and the command-line overrides of their settings."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import io
import re
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro
from absl import flags
from ml_collections import config_flags

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import near_on_disk
from uwe_jax.runtime.options import Verbosity, registry, wrapped
from uwe_jax.runtime.settings import current_path, did_you_mean, from_mapping, setting_names

S = TypeVar("S")
_CONFIG_MODULE = "config_config"  # the name that ml_collections gives to the file of the flag --config


def _shipped() -> Path | None:
    """Returns the folder of the shipped configs: in the installed package, or beside it in a clone."""
    package = Path(__file__).resolve().parents[1]
    return next((folder for folder in (package / "configs", package.parent / "configs") if folder.is_dir()), None)


def shipped_configs(command: str) -> list[tuple[str, str]]:
    """Lists name and first docstring line of every shipped config whose docstring calls a command, such as train."""
    folder = _shipped()
    found = []
    for path in sorted(folder.glob("*.py")) if folder else ():
        try:
            docstring = ast.get_docstring(ast.parse(path.read_bytes())) or ""
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
            reason = f"{error.msg}, line {error.lineno}" if isinstance(error, SyntaxError) else None
            reason = reason or getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
            found.append((path.stem, f"(cannot be read: {reason})"))
            continue
        if f"uwe-jax {command} " in docstring:
            found.append((path.stem, docstring.partition("\n")[0]))
    return found


def config_path(name: str) -> str:
    """Returns the path of a shipped config such as quickstart or ablation:max_sim, variant included; else `name`."""
    file, colon, variant = name.partition(":") if not Path(name).is_file() else (name, "", "")
    folder = _shipped()
    shipped = folder / f"{file}.py" if folder and re.fullmatch(r"\w+", file) else None
    return f"{shipped}{colon}{variant}" if shipped and shipped.is_file() else name


def config_help(settings: type, command: str, about: str) -> str:
    """Returns the help of a command with a config file: `about`, its shipped configs, and all settings by section."""
    listed = shipped_configs(command)
    width = max((len(name) for name, _ in listed), default=0)
    configs = [f"  {name:<{width}}  {summary}" for name, summary in listed]
    lines = [about, *(["", "Shipped configs:", *configs] if listed else []), "", "Settings, with their defaults:"]
    section = dataclasses.make_dataclass("Settings", [settings_field(settings)], bases=(Verbosity,), frozen=True)
    buffer = io.StringIO()
    with contextlib.redirect_stdout(buffer), contextlib.suppress(SystemExit):
        tyro.cli(
            section,
            prog=f"uwe-jax {command} --config=FILE",
            description=wrapped("\n".join(lines)),
            registry=registry,
            args=["--help"],
            use_underscores=True,
        )
    return buffer.getvalue().rstrip()


def settings_field(settings: type) -> tuple[str, Any, Any]:
    """Returns the field `config` of a dataclass of options that has settings below `--config.`."""
    # Without flags such as --config.no_profile, which only tyro would accept.
    return "config", Annotated[settings, tyro.conf.FlagConversionOff], dataclasses.field(default_factory=settings)


def read_command_line(arguments: Sequence[str], settings: type[S], command: str) -> S:
    """Parses `--config=FILE` and its overrides `--config.key=value`, of which the last one wins.

    FILE is a path, or the name of a shipped config such as quickstart; what follows a colon, as in
    `--config=ablation:max_sim`, is passed to the file's `get_config`. Raises UserError if there is no such file or
    setting, or a value is invalid.

    Args:
      arguments: after the name of the command.
      settings: dataclass that the file's `get_config` starts from.
      command: whose shipped configs are listed if there is no such file.
    """
    arguments = [_with_path(each, before) for before, each in zip(("", *arguments), arguments, strict=False)]
    for position, argument in enumerate(arguments):
        if named := re.match(r"--config\.([^=]+)", argument):
            given = argument if "=" in argument else "=".join(arguments[position : position + 2])
            path, value = current_path(settings, named[1], given.partition("=")[2])
            if path != named[1]:
                arguments[position : position + 1 + ("=" not in argument)] = [f"--config.{path}={value}"]
    argv = ["uwe_jax", *arguments]
    values = flags.FlagValues()
    flag = config_flags.DEFINE_config_file("config", flag_values=values, help_string="A file.", sys_argv=argv)
    try:
        rest = values(argv)
        as_dict = getattr(flag.value, "to_dict", None)  # raises what opening the file raised
    except UserError:
        raise
    except Exception as error:
        if in_file := _error_in_config(error):
            raise UserError(f"{in_file}. Correct the config file.") from error
        _answer(error, command, settings)
        raise
    finally:
        sys.modules.pop(_CONFIG_MODULE, None)  # else the next file would run in this one's namespace
    if len(rest) > 1:
        raise UserError(f"Unexpected argument {rest[1]!r}; settings are given as --config.key=value.")
    if flag.value is None and not any(re.match("--config(=|$)", argument) for argument in arguments):
        raise UserError(f"--config is required; give --config=FILE. Run `uwe-jax {command} --help`.")
    if as_dict is None:
        raise UserError(
            f"get_config() of the file of --config returns a {type(flag.value).__name__}; it must return a ConfigDict, "
            "such as uwe_jax.config.default_config() makes."
        )
    return from_mapping(settings, as_dict())


def _with_path(argument: str, before: str) -> str:
    """Replaces the name of a config by its path, and hyphens in the name of a setting by underscores."""
    if setting := re.match(r"--config\.[^=]+", argument):
        return setting[0][2:].replace("-", "_").join(("--", argument[setting.end() :]))
    if before == "--config":
        return config_path(argument)
    named = argument.removeprefix("--config=")
    return f"--config={config_path(named)}" if named != argument else argument


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Separates `--config` and its overrides from the other arguments.

    >>> split_arguments(["--config", "quickstart", "--out=x", "--config.steps=3"])
    (['--config', 'quickstart', '--config.steps=3'], ['--out=x'])
    """
    config: list[str] = []
    others: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if not re.match(r"--(no)?config([.=]|$)", argument):
            others.append(argument)
            continue
        config.append(argument)
        if "=" not in argument and rest and not rest[0].startswith("--"):
            config.append(rest.pop(0))
    return config, others


def _error_in_config(error: BaseException) -> str:
    """Returns file, line and message of an error raised in a config file; "" if it was raised elsewhere."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, SyntaxError):
            return f"{cause.filename or 'The file of --config'}, line {cause.lineno or 1}: {cause.msg}"
        frames = traceback.walk_tb(cause.__traceback__)
        own = [(f.f_code.co_filename, line) for f, line in frames if f.f_globals.get("__name__") == _CONFIG_MODULE]
        if own:
            file, line = own[-1]
            return f"{file}, line {line}: {type(cause).__name__}: {cause}"
        cause = cause.__cause__ or cause.__context__
    return ""


def _answer(error: Exception, command: str, settings: type) -> None:
    """Raises a UserError for errors of parsing the flags; returns for any other error."""
    if isinstance(error, OSError):  # of ml_collections, for a missing config file
        known = [name for name, _ in shipped_configs(command)]
        reason = re.sub(r"\[Errno \d+\] ", "", str(error).strip().splitlines()[-1], count=1)
        name = reason.split("'")[-2] if "'" in reason else ""
        reason = f"there is no file {name}" if "No such file" in reason else reason
        near = did_you_mean(name, known) or near_on_disk(name)
        raise UserError(f"--config cannot be read: {reason}.{near} Shipped configs: {', '.join(known)}.") from error
    if isinstance(error, flags.UnrecognizedFlagError):
        known = ["--config", *(f"--config.{name}" for name in setting_names(settings))]
        option = f"--{error.flagname}"
        raise UserError(f"Unknown option {option}.{did_you_mean(option, known)}") from error
    if found := re.match(r"flag --(\S+?)=(.*): (invalid lit|could not conv|\('Non-bool)", str(error), re.DOTALL):
        must = {"invalid lit": "a whole number", "could not conv": "a number"}.get(found[3], "true or false")
        raise UserError(f"{found[1]} is {found[2]!r}; it must be {must}.") from error
    if isinstance(error, (flags.Error, AttributeError, KeyError, TypeError, ValueError)):
        complaint = " ".join(map(str, error.args))
        if "get_config() takes 0 positional arguments" in complaint:
            complaint = "the config file has no variants; remove the colon and what follows it"
        if "no attribute 'get_config'" in complaint:
            complaint = "the file of --config has no function get_config()"
        raise UserError(f"Command line: {complaint}") from error
