"""Columns of a user's vacancies: finding them by name, and checking their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.tables.names import HEADER, NAMES, named_columns, same_names
from uwe_jax.sources.tables.problems import shorten
from uwe_jax.sources.tables.values import TYPES, id_text, split_list

_ROLES = ("title", "description", "skills", "id")
REQUIRED = ("title", "description")


@dataclass(frozen=True)
class VacancyColumns:
    """Names of columns; an empty one is found by `NAMES`."""

    title: str = ""
    description: str = ""
    skills: str = ""
    id: str = ""


class Vacancy(NamedTuple):
    """A row; its skills are None if it names none."""

    title: str
    description: str
    skills: list[str] | None
    id: str


def find_columns(names: Sequence[str], columns: VacancyColumns) -> dict[str, str]:
    """Finds the columns of a table by role, without those that it lacks.

    >>> find_columns(["ID", "Job Title", "body"], VacancyColumns())
    {'title': 'Job Title', 'description': 'body', 'id': 'ID'}
    """
    chosen = {role: name for role, name in asdict(columns).items() if name}
    taken = {role: same[0] for role, name in chosen.items() if (same := same_names(names, name))}
    others = [name for name in names if name not in taken.values()]
    found = taken | named_columns(others, [role for role in _ROLES if role not in chosen])
    return {role: found[role] for role in _ROLES if role in found}


def check_columns(found: Mapping[str, str], names: Sequence[str], file: str, columns: VacancyColumns) -> None:
    """Raises UserError if a required or user-specified column is missing."""
    for role, wanted in asdict(columns).items():
        if role not in found and (wanted or role in REQUIRED):
            asked = f"{wanted!r}, which you named for the {role}" if wanted else f"for the {role}"
            raise UserError(
                f"{file} has no column {asked}; its columns: {', '.join(names) or 'none'}. Expected a name such as "
                f"{', '.join(NAMES[role][:6])}: rename the column, or name it in the options. {HEADER}"
            )


def parse_row(row: Mapping[str, Any], found: Mapping[str, str]) -> Vacancy | tuple[str, str]:
    """Returns the vacancy of a row; for a broken row the invalid value and the expected one, for messages."""
    values = {role: row.get(column) for role, column in found.items()}
    texts = {}
    for role in REQUIRED:
        text = values.get(role)
        if text is not None and not isinstance(text, str):
            return f"{found[role]} {shorten(str(text))}", "a text"
        texts[role] = text or ""
    if not any(text.strip() for text in texts.values()):
        return "neither a title nor a description", "at least one of them"
    skills = split_list(values.get("skills"))
    if skills is None:
        return f"{found['skills']} {shorten(str(values['skills']))}", "texts separated by ; or |, or a list of them"
    number = id_text(values.get("id"))
    if number is None:
        return f"{found['id']} {shorten(str(values['id']))}", TYPES["id"]
    return Vacancy(**texts, skills=skills or None, id=number)
