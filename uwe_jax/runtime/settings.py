"""Reads nested settings from plain values into frozen dataclasses, with checks of names, types and ranges."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import logging
import typing
from collections.abc import Callable, Container, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from uwe_jax.runtime.errors import UserError

LOG = logging.getLogger(__name__)
D = TypeVar("D")

_TYPES: dict[type, tuple[type, ...]] = {int: (int,), float: (int, float), str: (str,), bool: (bool,), Path: (str, Path)}

# By the former name of a setting: its name in the same section, and what makes its value of the former one, which may
# be a text of the command line.
_FORMER: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "keep_out": ("decontaminate", lambda value: value),
    "encode_chunk_size": ("mini_batch_size", lambda value: value),
    "parts": ("sources", lambda value: {"together": "mixed", "apart": "homogeneous"}.get(value, value)),
    "pretrained_share": ("wise_ft_alpha", lambda value: _one_minus(value)),
}


def _one_minus(value: Any) -> Any:
    try:
        return round(1 - float(value), 9)
    except (TypeError, ValueError):
        return value  # refused under the present name


def current_setting(known: Container[str], name: str, value: Any) -> tuple[str, Any]:
    """Translates a former name and its value to the present ones; any other name stays.

    >>> current_setting(["wise_ft_alpha"], "pretrained_share", 0.3)
    ('wise_ft_alpha', 0.7)
    """
    now, translate = _FORMER.get(name, ("", None))
    return (now, translate(value)) if translate and name not in known and now in known else (name, value)


@functools.cache
def warn_of_former(name: str, now: str) -> None:
    """Logs a warning, once, that a setting was given by its former name; `now` has its present name and value."""
    LOG.warning(f"Warning: {name} is now {now}; the former name will be removed in the next release.")


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raises UserError unless `value` is among `allowed`."""
    if value not in allowed:
        known = ", ".join(map(repr, allowed))
        raise UserError(f"{name} is {value!r}; it must be one of {known}.{did_you_mean(value, allowed)}")


def all_of(name: str, values: Iterable[str], allowed: tuple[str, ...]) -> None:
    """Raises UserError unless all `values` are among `allowed`."""
    for value in values:
        one_of(name, value, allowed)


def did_you_mean(value: str, allowed: Iterable[str], prefix: str = "") -> str:
    """Returns a question for an error message, `prefix` and the nearest allowed value in it; "" if none is near.

    >>> did_you_mean("sotf", ["soft", "max_sim"])
    " Did you mean 'soft'?"
    """
    near = difflib.get_close_matches(str(value), list(allowed), n=1)
    return f" Did you mean {prefix + near[0]!r}?" if near else ""


def within(name: str, value: float, low: float, high: float = float("inf")) -> None:
    """Raises UserError unless low <= value <= high."""
    if not low <= value <= high:
        span = f"at least {low}" if high == float("inf") else f"between {low} and {high}"
        raise UserError(f"{name} is {value}; it must be {span}.")


def all_within(settings: object, section: str, names: str, low: float, high: float = float("inf")) -> None:
    """Raises UserError unless low <= value <= high for the settings `names`, separated by spaces, of a section."""
    for name in names.split():
        within(f"{section}{name}", getattr(settings, name), low, high)


def from_mapping(cls: type[D], values: Mapping[str, Any], prefix: str = "") -> D:
    """Makes a dataclass of settings from plain values; missing settings have their defaults.

    Fields are int, float, str, bool, Path, Literal, tuples of them, sections (other dataclasses), or
    dict[str, section]. Settings may have their former names, as in saved configs; a class whose defaults changed has a
    function `completed` that adds the former ones. Messages put `prefix`, such as source., before a name.
    Raises UserError for an unknown name or a value of another type.
    """
    _check_section(values, prefix.removesuffix("."))
    hints = typing.get_type_hints(cls)
    values = dict(current_setting(hints, name, value) for name, value in values.items())
    values = getattr(cls, "completed", dict)(values)
    for name in sorted(set(values) - set(hints)):
        raise unknown_setting(prefix, name, list(hints))
    return cls(**{name: _read(hints[name], value, f"{prefix}{name}") for name, value in values.items()})


def versioned(cls: type[D], content: dict[str, Any], form: tuple[str, int], where: str, remedy: str) -> D:
    """Makes a dataclass from the content of a file that names its format and version.

    Args:
      content: values of the fields, with `format` and `version`, which are removed.
      form: the format and version that are read.
      where: the place of the content, for messages.
      remedy: sentence that ends every message, the next step for the user.

    Raises:
      UserError: another format or version, an unknown field, or a value that is missing or of another type.
    """
    found = content.pop("format", None), content.pop("version", None)
    if found != form:
        raise UserError(f"{where} has the format and version {found}; this uwe_jax reads {form}. {remedy}")
    try:
        return from_mapping(cls, content)
    except (UserError, TypeError) as error:
        kind = form[0].removeprefix("uwe_jax ")
        raise UserError(f"{where} is not a {kind}, or damaged: {error} {remedy}") from error


def unknown_setting(prefix: str, name: str, known: list[str], near: str = "") -> UserError:
    """Makes the error of an unknown setting in the section `prefix`; an empty `near` looks for one among `known`."""
    near = near or next((f"{prefix}{each}" for each in difflib.get_close_matches(name, known, n=1)), "")
    hint = f"Did you mean {near}? " if near else ""
    return UserError(f"Unknown setting {prefix}{name}. {hint}Known here: {', '.join(sorted(known))}.")


def setting_names(cls: Any, prefix: str = "") -> list[str]:
    """Lists all settings of a dataclass and its sections, such as batch.global_batch_size."""
    names = []
    for name, hint in typing.get_type_hints(cls).items():
        names += setting_names(hint, f"{prefix}{name}.") if dataclasses.is_dataclass(hint) else [f"{prefix}{name}"]
    return names


def nearest_setting(cls: type, path: str) -> str:
    """Finds the setting of any section with nearly the same name, or with the path's last part in its name; else ""."""
    names, last = setting_names(cls), path.rpartition(".")[2]
    section = path.removesuffix(last)
    containing = [name for name in names if last in name.rpartition(".")[2]]
    found = (
        difflib.get_close_matches(path, names, n=1, cutoff=0.75)
        or [name for name in containing if name.startswith(section)]
        or containing
        or difflib.get_close_matches(path, names, n=1)
    )
    return found[0] if found else ""


def current_path(cls: type, path: str, value: Any) -> tuple[str, Any]:
    """Returns path and value of a setting of any section, or UserError; logs a warning for a former name."""
    section: Any = cls
    prefix = ""
    for name in path.split("."):
        if named := _named_sections(section):
            section = named  # any name is allowed here
        else:
            hints = typing.get_type_hints(section) if dataclasses.is_dataclass(section) else {}
            name, value = current_setting(hints, name, value)
            if name not in hints:
                raise unknown_setting(prefix, name, list(hints), nearest_setting(cls, path))
            section = hints[name]
        prefix = f"{prefix}{name}."
    if (now := prefix[:-1]) != path:
        warn_of_former(path, f"{now}={value}")
    return now, value


def _named_sections(hint: Any) -> Any:
    """Returns the section of a dict[str, section]; None for any other type."""
    return typing.get_args(hint)[1] if typing.get_origin(hint) is dict else None


def _check_section(value: Any, name: str) -> None:
    if not isinstance(value, Mapping):
        raise UserError(f"{name or 'The content'} is {value!r}; it must be a section with settings of its own.")


def _read(hint: Any, value: Any, name: str) -> Any:
    section = _named_sections(hint)
    if section:
        _check_section(value, name)
        return {key: _read(section, each, f"{name}.{key}") for key, each in value.items()}
    if dataclasses.is_dataclass(hint):
        return from_mapping(hint, value, f"{name}.")  # type: ignore[arg-type]
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, (list, tuple)):
            raise UserError(f"{name} is {value!r}; it must be a list.")
        items = typing.get_args(hint)
        if items[-1] is ...:
            items = items[:1] * len(value)
        if len(items) != len(value):
            raise UserError(f"{name} is {value!r}; it must have {len(items)} entries.")
        return tuple(_read(item, each, f"{name}[{k}]") for k, (item, each) in enumerate(zip(items, value, strict=True)))
    if typing.get_origin(hint) is typing.Literal:
        one_of(name, value, typing.get_args(hint))
        return value
    if not isinstance(value, _TYPES[hint]) or (isinstance(value, bool) and hint is not bool):
        raise UserError(f"{name} is {value!r}; it must be of type {hint.__name__}.")
    if hint is Path:
        return Path(str(value)).expanduser()
    return float(value) if hint is float else value  # type: ignore[arg-type]  # checked above
