"""Finds the files of a user's vacancies."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import NamedTuple

from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.folders import DEPTH, files_in
from uwe_jax.sources.hub.split_names import is_test_split
from uwe_jax.sources.tables.chunks import column_names
from uwe_jax.sources.tables.formats import EXPECTED_FORMATS, table_format
from uwe_jax.sources.taxonomy import NAME as TAXONOMY
from uwe_jax.sources.vacancies.columns import REQUIRED, VacancyColumns, check_columns, find_columns

LOG = logging.getLogger(__name__)
FOLDER = "vacancies"  # a folder of this name holds all vacancies of the folder around it
_ESCO_COLUMN = "conceptType"  # ESCO's conceptSchemes have a title and a description as well


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
    all vacancies. Files with the name of a test split are skipped with a warning.

    Raises:
      UserError: there is none, or it lacks a required column.
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
        raise UserError(f"There is no {path}. {expected}")
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
    found = find_columns(names, columns)
    check_columns(found, names, name, columns)
    return VacancyFile(path, name, found)


def _if_table(path: Path, name: str, columns: VacancyColumns) -> VacancyFile | None:
    try:
        names = column_names(path, [*vars(columns).values()])
    except UserError:
        return None  # damaged tables of other data are ignored
    found = find_columns(names, columns)
    return VacancyFile(path, name, found) if _ESCO_COLUMN not in names and found.keys() >= set(REQUIRED) else None
