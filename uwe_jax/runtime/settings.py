"""Settings as frozen dataclasses, read from plain values: nested, checked for names and types, with a sentence."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from uwe_jax.runtime.errors import UserError

D = TypeVar("D")

_TYPES: dict[type, tuple[type, ...]] = {int: (int,), float: (int, float), str: (str,), bool: (bool,)}


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raises UserError unless `value` is among `allowed`."""
    if value not in allowed:
        raise UserError(f"{name} is {value!r}; it must be one of {', '.join(map(repr, allowed))}.")


def within(name: str, value: float, low: float, high: float = float("inf")) -> None:
    """Raises UserError unless low <= value <= high."""
    if not low <= value <= high:
        span = f"at least {low}" if high == float("inf") else f"between {low} and {high}"
        raise UserError(f"{name} is {value}; it must be {span}.")


def from_mapping(cls: type[D], values: Mapping[str, Any], prefix: str = "") -> D:
    """A dataclass of settings from plain values; a setting that is missing is at its default.

    Fields are int, float, str, bool, tuples of them, sections (other dataclasses), or dict[str, section].

    Args:
      cls: the dataclass.
      values: by name of the field.
      prefix: that messages put before a name, such as source.

    Raises:
      UserError: for an unknown name or a value of another type.
    """
    hints = typing.get_type_hints(cls)
    for name in sorted(set(values) - set(hints)):
        raise unknown_setting(prefix, name, list(hints))
    return cls(**{name: _read(hints[name], value, f"{prefix}{name}") for name, value in values.items()})


def unknown_setting(prefix: str, name: str, known: list[str]) -> UserError:
    """The answer to a key that is not there, with the nearest one that is."""
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {prefix}{near[0]}? " if near else ""
    return UserError(f"Unknown setting {prefix}{name}. {hint}Known here: {', '.join(sorted(known))}.")


def check_setting_name(cls: type, path: str) -> None:
    """Raises UserError unless `path`, such as batch.global_batch_size, names a setting of a dataclass."""
    section: Any = cls
    prefix = ""
    for name in path.split("."):
        if named := _named_sections(section):
            section = named  # any name may stand here
        else:
            hints = typing.get_type_hints(section) if dataclasses.is_dataclass(section) else {}
            if name not in hints:
                raise unknown_setting(prefix, name, list(hints))
            section = hints[name]
        prefix = f"{prefix}{name}."


def _named_sections(hint: Any) -> Any:
    """The section of a dict[str, section]; None for any other type."""
    return typing.get_args(hint)[1] if typing.get_origin(hint) is dict else None


def _read(hint: Any, value: Any, name: str) -> Any:
    section = _named_sections(hint)
    if (section or dataclasses.is_dataclass(hint)) and not isinstance(value, Mapping):
        raise UserError(f"{name} is {value!r}; it must be a section with settings of its own.")
    if section:
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
    if not isinstance(value, _TYPES[hint]) or (isinstance(value, bool) and hint is not bool):
        raise UserError(f"{name} is {value!r}; it must be of type {hint.__name__}.")
    return float(value) if hint is float else value  # type: ignore[arg-type]  # checked above
