"""Finds the O*NET database in the layout of its text download, zipped or unzipped, and reads its tables."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from uwe_jax.base.errors import UserError
from uwe_jax.data.delimited import read_table
from uwe_jax.data.folders import files_in
from uwe_jax.data.problems import Problems
from uwe_jax.data.tasks.spec import DEPTH, TaskDataMissing, TaskSources
from uwe_jax.data.zips import ZIP_DAMAGE

WHERE = "https://www.onetcenter.org/database.html, the text files: a zip such as db_29_3_text.zip, as it is or unzipped"
OCCUPATIONS = "Occupation Data.txt"

_VERSION = re.compile(r"db_(\d+)_(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class OnetRelease:
    """The text files of one version."""

    version: tuple[int, ...]  # such as 29, 3, from the name of the folder inside; empty where it does not say
    path: Path  # of the zip, or of the folder of the files
    inside: str  # folder inside the zip that holds the files, with its slash; empty for a folder

    def __str__(self) -> str:
        return f"O*NET {'.'.join(map(str, self.version)) or 'of unknown version'}"

    def table(self, name: str, *columns: str) -> list[list[str]]:
        """The values of some columns, found by their header, of every row.

        Raises:
          TaskDataMissing: the release has no such file.
          UserError: a damaged zip, a missing column, or broken rows.
        """
        where = f"{self.path}: {self.inside}{name}" if self._zipped else str(self.path / name)
        problems = Problems(where)
        rows = read_table(self._read(name), name, delimiter="\t", required=columns, problems=problems)
        problems.check()
        return [values for _, values in rows]

    @property
    def _zipped(self) -> bool:
        return self.path.is_file()

    def _read(self, name: str) -> bytes:
        try:
            if not self._zipped:
                return (self.path / name).read_bytes()
            with zipfile.ZipFile(self.path) as archive:
                return archive.read(self.inside + name)
        except (KeyError, FileNotFoundError):
            raise TaskDataMissing(f"{self} in {self.path} has no file {name!r}. Download it again: {WHERE}") from None
        except ZIP_DAMAGE as error:
            raise UserError(
                f"{self.path} ({self.path.stat().st_size:,} bytes) is damaged in {name!r}: {error}. Download it "
                f"again: {WHERE}"
            ) from error


def find_onet(sources: TaskSources) -> OnetRelease:
    """The newest version in the first folder that holds one.

    Raises:
      TaskDataMissing: in no folder.
    """
    for folder in sources.folders:
        releases = [release for path in files_in(folder, DEPTH) for release in _releases(path)]
        if releases:
            return max(releases, key=lambda release: release.version)
    raise TaskDataMissing(
        f"No O*NET database, a zip or folder with {OCCUPATIONS!r}, in {sources.listed}. Get it from {WHERE}"
    )


def _releases(path: Path) -> Iterator[OnetRelease]:
    if path.name == OCCUPATIONS:
        yield OnetRelease(_version(path.parent.name), path.parent, "")
    elif path.suffix.lower() == ".zip":
        try:
            with zipfile.ZipFile(path) as archive:
                members = archive.namelist()
        except ZIP_DAMAGE:
            return  # it may be anybody's
        for member in members:
            if PurePosixPath(member).name == OCCUPATIONS:
                inside = member.removesuffix(OCCUPATIONS)
                yield OnetRelease(_version(inside) or _version(path.name), path, inside)


def _version(name: str) -> tuple[int, ...]:
    found = _VERSION.search(name)
    return tuple(map(int, found.groups())) if found else ()
