"""The files of a user's vacancies, and what tells one set of them from another."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.folders import DEPTH, files_in
from uwe_jax.sources.hub.split_names import is_test_split
from uwe_jax.sources.tables.chunks import column_names
from uwe_jax.sources.tables.formats import EXPECTED_FORMATS, table_format
from uwe_jax.sources.taxonomy import NAME as TAXONOMY
from uwe_jax.sources.vacancies.columns import REQUIRED, VacancyColumns, check_columns, find_columns

LOG = logging.getLogger(__name__)
FOLDER = "vacancies"  # where a folder has one of this name, the vacancies are in it and nowhere else
# The portal's conceptSchemes have a title and a description as well.
_ESCO_COLUMN = "conceptType"


@dataclass(frozen=True)
class VacancyFile:
    """One table of vacancies.

    Attributes:
      path: of the file.
      name: of the file in the folder that was named.
      columns: by role.
    """

    path: Path
    name: str
    columns: dict[str, str]

    def signature(self) -> tuple[str, int, str]:
        """Name, size in bytes and a digest of the content."""
        with self.path.open("rb") as file:
            digest = hashlib.file_digest(file, "blake2b").hexdigest()[:32]
        return self.name, self.path.stat().st_size, digest


def find_vacancy_files(path: Path, columns: VacancyColumns | None = None) -> list[VacancyFile]:
    """The tables of vacancies in a folder and in the folders two levels below it, or the one that is named.

    Of a folder, tables that lack a title or a description are none of them. A file that has the name of a test split
    is passed over, and a line says so. A folder called vacancies in it holds all of them, and then each of its tables
    is one.

    Raises:
      UserError: there is none, or it has not the columns it needs.
    """
    columns = columns or VacancyColumns()
    if path.is_file():
        return [_table(path, path.name, columns)]
    if not path.is_dir():
        raise UserError(f"There is no {path}. Expected {_expected(columns)}")
    inside = path / FOLDER
    read = _table if inside.is_dir() else _if_table
    found = [file for file in files_in(inside if inside.is_dir() else path, DEPTH) if _is_wanted(file)]
    tests = [file for file in found if is_test_split(file.name[: -len(table_format(file))])]
    names = {file: str(file.relative_to(path)) for file in found}
    tables = [table for file in found if file not in tests and (table := read(file, names[file], columns))]
    passed = ", ".join(names[file] for file in tests if _if_table(file, names[file], columns))
    over = f"Not read in {path}, since their names are those of test splits: {passed}. Rename what is to be read."
    if tables and passed:
        LOG.warning(over)
    if not tables:
        others = f"{len(found) - len(tests)} tables of something else"
        also = f" {over}" if passed else ""
        raise UserError(f"{path} holds no table of vacancies ({others}).{also} Expected {_expected(columns)}")
    return tables


def _is_wanted(path: Path) -> bool:
    return bool(table_format(path)) and path.name.split(".")[0].casefold() != TAXONOMY


def _table(path: Path, name: str, columns: VacancyColumns) -> VacancyFile:
    names = column_names(path, [*vars(columns).values()])
    found = find_columns(names, columns)
    check_columns(found, names, name, columns)
    return VacancyFile(path, name, found)


def _if_table(path: Path, name: str, columns: VacancyColumns) -> VacancyFile | None:
    try:
        names = column_names(path, [*vars(columns).values()])
    except UserError:
        return None  # a damaged table of something else is no concern of this source
    found = find_columns(names, columns)
    if _ESCO_COLUMN in names or not all(role in found for role in REQUIRED):
        return None
    return VacancyFile(path, name, found)


def _expected(columns: VacancyColumns) -> str:
    title, description = columns.title or "title", columns.description or "description"
    return (
        f"a file in one of {EXPECTED_FORMATS}, or a folder of them (or with a folder {FOLDER}), with the columns "
        f"{title},{description}[,skills][,id]."
    )
