"""Finds the files of a user's vacancies and their columns, and checks the values of these."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import near_on_disk
from uwe_jax.sources.folders import DEPTH, files_in, is_test_split
from uwe_jax.sources.tables.formats import EXPECTED_FORMATS, table_format
from uwe_jax.sources.tables.names import HEADER, NAMES, named_columns, same_names
from uwe_jax.sources.tables.problems import shorten
from uwe_jax.sources.tables.reading import column_names
from uwe_jax.sources.tables.values import TYPES, id_text, split_list
from uwe_jax.sources.taxonomy import NAME as TAXONOMY

LOG = logging.getLogger(__name__)
FOLDER = "vacancies"  # a folder of this name holds all vacancies of the folder around it
_ESCO_COLUMN = "conceptType"  # ESCO's conceptSchemes have a title and a description as well
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


def find_columns(names: Sequence[str], columns: VacancyColumns, table: str = "The table") -> dict[str, str]:
    """Finds the columns of a table by role, without those that it lacks.

    >>> find_columns(["ID", "Job Title", "body"], VacancyColumns())
    {'title': 'Job Title', 'description': 'body', 'id': 'ID'}
    """
    chosen = {role: name for role, name in asdict(columns).items() if name}
    taken = {role: same[0] for role, name in chosen.items() if (same := same_names(names, name))}
    others = [name for name in names if name not in taken.values()]
    found = taken | named_columns(others, [role for role in asdict(columns) if role not in chosen], table)
    return {role: found[role] for role in asdict(columns) if role in found}


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


class VacancyFile(NamedTuple):
    """One table of vacancies."""

    path: Path
    name: str  # relative to the user's folder
    columns: dict[str, str]  # by role

    def signature(self) -> tuple[str, int, str]:
        """Returns name, size in bytes and a digest of the content."""
        with self.path.open("rb") as file:
            digest = hashlib.file_digest(file, "blake2b").hexdigest()[:32]
        return self.name, self.path.stat().st_size, digest


def find_vacancy_files(path: Path, columns: VacancyColumns | None = None) -> list[VacancyFile]:
    """Finds the tables of vacancies in a folder and its folders two levels down; a file is taken as it is.

    Tables without a title or a description are skipped, unless they are in a folder called vacancies, which then holds
    all vacancies. Files with the name of a test split are skipped with a warning. Raises UserError if there
    is none, or it lacks a required column.
    """
    columns = columns or VacancyColumns()
    title, description = columns.title or "title", columns.description or "description"
    expected = (
        f"Expected a file in one of {EXPECTED_FORMATS}, or a folder of them (or with a folder {FOLDER}), with the "
        f"columns {title},{description}[,skills][,id]."
    )
    if path.is_file():
        return [_table(path, path.name, columns)]
    if not path.is_dir():
        raise UserError(f"There is no {path}.{near_on_disk(path)} {expected}")
    inside = path / FOLDER
    read = _table if inside.is_dir() else _if_table
    found = {
        file: str(file.relative_to(path))
        for file in files_in(inside if inside.is_dir() else path, DEPTH)
        if table_format(file) and file.name.split(".")[0].casefold() != TAXONOMY
    }
    tests = {file for file in found if is_test_split(file.name[: -len(table_format(file))])}
    tables = [table for file, name in found.items() if file not in tests and (table := read(file, name, columns))]
    passed = ", ".join(name for file, name in found.items() if file in tests and _if_table(file, name, columns))
    over = f"Not read in {path}, since their names are those of test splits: {passed}. Rename them if they are not."
    if not tables:
        others = f"{len(found) - len(tests)} tables of other data"
        also = f" {over}" if passed else ""
        raise UserError(f"{path} holds no table of vacancies ({others}).{also} {expected}")
    if passed:
        LOG.warning(over)
    return tables


def _table(path: Path, name: str, columns: VacancyColumns) -> VacancyFile:
    names = column_names(path, [*vars(columns).values()])
    found = find_columns(names, columns, name)
    for role, wanted in asdict(columns).items():
        if role not in found and (wanted or role in REQUIRED):
            asked = f"{wanted!r}, which you named for the {role}" if wanted else f"for the {role}"
            raise UserError(
                f"{name} has no column {asked}; its columns: {', '.join(names) or 'none'}. Expected a name such as "
                f"{', '.join(NAMES[role][:6])}. {HEADER} A file of one text per line is no table; for another "
                f"name of the column `uwe-jax tag` takes --{role}-column."
            )
    return VacancyFile(path, name, found)


def _if_table(path: Path, name: str, columns: VacancyColumns) -> VacancyFile | None:
    try:
        names = column_names(path, [*vars(columns).values()])
        found = find_columns(names, columns, name)
    except UserError:
        return None  # damaged tables of other data are ignored
    return VacancyFile(path, name, found) if _ESCO_COLUMN not in names and found.keys() >= set(REQUIRED) else None
