"""Parses a command line into the frozen dataclass that declares its options.

Each field is an option, documented by its entry in the docstring. `--top-k` and `--top_k` are one option.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import logging
import re
import shutil
import textwrap
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, cast

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, StructConstructorSpec, StructTypeInfo

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.printable import printable
from uwe_jax.runtime.settings import one_of

LOG = logging.getLogger(__name__)
T = TypeVar("T")


def _single(metavar: str, read: Callable[[str], Any], write: Callable[[Any], str], kind: type | UnionType) -> Any:
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda words: read(words[0]),
        is_instance=lambda value: isinstance(value, kind),
        str_from_instance=lambda value: ["none" if value is None else write(value)],
    )


def names(text: str) -> tuple[str, ...]:
    """Splits a comma-separated list; names are stripped, empty ones are dropped.

    >>> names("soft, mean_pool,")
    ('soft', 'mean_pool')
    """
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, names(text)))


# Types of options. A path may begin with ~; a list is separated by commas; a repeated option is given once per value.
FilePath = Annotated[Path, _single("PATH", lambda text: Path(text).expanduser(), str, Path)]
OptionalPath = Annotated[Path | None, _single("PATH", lambda text: Path(text).expanduser(), str, Path | None)]
OptionalInt = Annotated[int | None, _single("INT", int, str, int | None)]
OptionalFloat = Annotated[float | None, _single("FLOAT", float, str, int | float | None)]
NameList = Annotated[tuple[str, ...], _single("NAME,...", names, ",".join, tuple)]
NumberList = Annotated[tuple[int, ...], _single("INT,...", _numbers, lambda values: ",".join(map(str, values)), tuple)]
# How values of these types are read, and what they must be, for messages.
_NUMERIC: dict[Any, tuple[Callable[[str], Any], str]] = {
    **dict.fromkeys((int, int | None), (int, "a whole number")),
    **dict.fromkeys((float, float | None), (float, "a number")),
    tuple[int, ...]: (_numbers, "whole numbers with commas between"),
}
Repeated = Annotated[tuple[str, ...], tyro.conf.UseAppendAction]
RepeatedPath = Annotated[tuple[FilePath, ...], tyro.conf.UseAppendAction]
Arguments = tyro.conf.Positional[tuple[str, ...]]
registry = ConstructorRegistry()  # of every command line
_SEEN = "default rules apply"


@registry.struct_rule
def _without_empty_defaults(info: StructTypeInfo) -> StructConstructorSpec | None:
    """Leaves the hint "(default: )" of empty texts and lists out of the help."""
    spec = _SEEN not in info.markers and registry.get_struct_spec(
        dataclasses.replace(info, markers=(*info.markers, _SEEN))
    )
    if not isinstance(spec, StructConstructorSpec):
        return None
    kinds: list[Any] = [
        Annotated[each.type, tyro.conf.arg(help_behavior_hint="")]
        if each.default in ("", ()) and each.type not in (Repeated, RepeatedPath)
        else each.type
        for each in spec.fields
    ]
    fields = [dataclasses.replace(each, type=kind) for each, kind in zip(spec.fields, kinds, strict=True)]
    return dataclasses.replace(spec, fields=tuple(fields))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verbosity:
    """Options of every command, parsed by `uwe_jax.runtime.logging_setup.split_verbosity`.

    Attributes:
      verbose: also show where models and data are looked for, and warnings of libraries.
      quiet: show only results, warnings and errors.
    """

    verbose: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False


def read_options(
    options: type[T],
    arguments: Sequence[str],
    *,
    command: str,
    about: str,
    renamed: Mapping[str, str] | None = None,
    help_if_empty: bool = True,
) -> T:
    """Parses a command line; prints the help and exits with 0 on --help, and without arguments.

    Args:
      options: dataclass of the options.
      arguments: after the name of the command.
      command: its name, such as rank.
      about: text of `--help` above the options.
      renamed: new names of options by their former names, without leading dashes; former names work with a warning.
      help_if_empty: print the help if there are no arguments.

    Raises UserError for a value that does not fit, and SystemExit with status 2 after a message for an unknown option.
    """
    given = [_current(argument, renamed or {}) for argument in arguments or ["--help"][:help_if_empty]]
    read: Callable[..., Any] = functools.partial(
        tyro.cli,
        dataclasses.make_dataclass(options.__name__, [], bases=(Verbosity, options), frozen=True),
        prog=f"uwe-jax {command}",
        description=wrapped(about),
        registry=registry,
    )
    _check(typing.get_type_hints(options), given)
    shown = list(map(printable, given))
    chosen: Any = None
    if shown != given:
        try:
            chosen = read(args=given, console_outputs=False)
        except SystemExit:  # its message would hold the arguments unescaped
            given = shown
    chosen = chosen or read(args=given)
    return options(**{each.name: getattr(chosen, each.name) for each in dataclasses.fields(cast(Any, options))})


def _check(hints: Mapping[str, Any], given: Sequence[str]) -> None:
    """Raises UserError for a value that is not one of the choices of its option, or not a number."""
    for argument, after in itertools.pairwise([*given, "--"]):
        flag, equals, value = argument.partition("=")
        hint = hints.get(flag[2:].replace("-", "_")) if flag.startswith("--") else None
        value = value if equals else after
        if {"-h", "--help"} & set(given) or (not equals and value.startswith("--")):
            continue
        if typing.get_origin(hint) is Literal:
            one_of(flag, value, typing.get_args(hint))
        elif hint in _NUMERIC:
            read, expected = _NUMERIC[hint]
            try:
                read(value)
            except ValueError:
                raise UserError(f"{flag} is {value!r}; it must be {expected}.") from None


class _Kept(str):
    """Text of a help that tyro prints in its own lines: it would join lines that begin with a letter."""

    def split(self, *_: Any) -> list[str]:
        """Returns the text as one line."""
        return [self]


def wrapped(about: str) -> str:
    """Wraps the description of a command at the terminal's width: paragraphs, and every indented line by itself."""
    joined = re.sub(r"(?m)^(\S.*)\n(?=\S)| *\\\n +", r"\1 ", about)
    width = shutil.get_terminal_size().columns
    return _Kept("\n".join(_wrapped_line(line, width) for line in joined.splitlines()))


def _wrapped_line(line: str, width: int) -> str:
    fill = textwrap.TextWrapper(width, break_long_words=False, break_on_hyphens=False)
    if re.match(r" +(\S+ )*?uwe-jax (?!.*  )", line):  # a command, to be typed as it is: broken before an option
        fill.width, fill.subsequent_indent = width - 2, 6 * " "
        return " \\\n".join(fill.wrap(re.sub(r"(?<=\S) (?!--)", "\xa0", line))).replace("\xa0", " ")
    column = re.match(r"( +(- |\S.*?  +)?)?", line)
    fill.subsequent_indent = " " * (column.end() if column else 0)
    return fill.fill(line)


def at_least(least: float, **values: float | None) -> None:
    """Raises UserError for options below `least`; None, an option that was not given, passes.

    >>> at_least(1, top_k=10, candidates=None)
    """
    for name, value in values.items():
        if value is not None and value < least:
            raise UserError(f"--{name.replace('_', '-')} is {value}; it must be at least {least}.")


def _current(argument: str, renamed: Mapping[str, str]) -> str:
    flag, equals, value = argument.partition("=")
    former = flag.removeprefix("--").replace("_", "-")
    if not flag.startswith("--") or former not in renamed:
        return argument
    LOG.warning(f"Warning: --{former} is now --{renamed[former]}; the former name will be removed in the next release.")
    return f"--{renamed[former]}{equals}{value}"
