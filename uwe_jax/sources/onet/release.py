"""Finds the O*NET database in the layout of its text download, zipped or unzipped, and reads its tables."""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from uwe_jax.data.text import normalise
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.zips import ZIP_DAMAGE, read_member, signature
from uwe_jax.sources.folders import DEPTH, check_folder, files_in
from uwe_jax.sources.notes import noted_of
from uwe_jax.sources.onet.tables import OCCUPATIONS, Table
from uwe_jax.sources.tables.problems import Problems, shorten
from uwe_jax.sources.tables.reading import read_table

WHERE = "https://www.onetcenter.org/database.html, the text files: a zip such as db_29_3_text.zip, as it is or unzipped"

_VERSION = re.compile(r"db_(\d+)_(\d+)", re.IGNORECASE)
_OCCUPATIONS = OCCUPATIONS.files[0]

# Releases may name a few codes that they do not define. A larger share of a table's rows than this means that the files
# are of different releases.
_MAX_UNKNOWN = 0.1


class OnetFileMissing(UserError):
    """A release has no file of a table. The text is one line."""


@dataclass(frozen=True)
class OnetRelease:
    """The text files of one version."""

    version: tuple[int, ...]  # such as 29, 3, from the name of the folder or zip; empty if unknown
    path: Path  # of the zip, or of the folder of the files
    inside: str  # folder inside the zip that holds the files, with its slash; empty for a folder

    def __str__(self) -> str:
        return f"O*NET {_dotted(self.version)}"

    @property
    def label(self) -> str:
        """The version as in a folder's name, such as 29.3."""
        return ".".join(map(str, self.version)) or "unknown"

    def file_of(self, table: Table) -> str:
        """Returns the name of a table's file in this release; "" if there is none."""
        return next((name for name in table.files if name in self._names), "")

    def rows(self, table: Table) -> list[list[str]]:
        """Reads the values of a table's columns, found by their header, of every row: normalised, none empty.

        Raises:
          OnetFileMissing: the release has no such file.
          UserError: a damaged zip, a missing column, or broken rows.
        """
        name = self.file_of(table)
        if not name:
            raise OnetFileMissing(
                f"{self} in {self.path} has no file {' or '.join(map(repr, table.files))}. Download it again: {WHERE}"
            )
        path, member = self._place(name)
        try:
            if member:
                with zipfile.ZipFile(path) as archive:
                    data = read_member(archive, member)
            else:
                data = path.read_bytes()
        except ZIP_DAMAGE as error:
            raise _damaged(path, f" in {name!r}: {error}") from error
        columns = table.columns_of(data)
        problems = Problems(f"{path}: {member}" if member else str(path))
        rows = []
        for line, fields in read_table(data, name, delimiter="\t", required=columns, problems=problems):
            values = list(map(normalise, fields))
            if "" in values:
                problems.add(f"{name}, line {line}", f"no {columns[values.index('')]}", "a value")
            else:
                rows.append(values)
        problems.check()
        return rows

    def texts(self, table: Table) -> dict[str, str]:
        """Reads the second column of a table by the first, a code; raises as `rows`, or if a code has two texts."""
        texts: dict[str, str] = {}
        for code, text, *_ in self.rows(table):
            if texts.setdefault(code, text) != text:
                raise UserError(
                    f"{self.file_of(table)} in {self.path}: {code!r} has two texts, {shorten(texts[code])} and "
                    f"{shorten(text)}. Expected one of each: download it again from {WHERE}"
                )
        return texts

    def known_rows(
        self, table: Table, rows: Iterable[Sequence[str]], *known: Collection[str] | None
    ) -> tuple[list[Sequence[str]], list[str]]:
        """Drops the rows of a table with undefined codes, and notes their number.

        Args:
          known: per column the defined codes; None for a column without codes.

        Raises:
          UserError: more than a tenth of the rows would be dropped.
        """
        name = self.file_of(table)
        rows = list(rows)
        kept = [
            row for row in rows if all(codes is None or code in codes for code, codes in zip(row, known, strict=True))
        ]
        unknown = len(rows) - len(kept)
        if unknown > _MAX_UNKNOWN * len(rows):
            raise UserError(
                f"{unknown:,} of {len(rows):,} rows of {name} in {self.path} have codes that its other files do not "
                f"define: they are not of one release. Expected the files of one version: download them again from "
                f"{WHERE}"
            )
        return kept, noted_of(unknown, len(rows), "row", f"of {name} with codes that the release lacks left out")

    def digest(self, tables: Iterable[Table]) -> str:
        """Returns 16 hexadecimal digits that change with the file of any of the tables."""
        names = [name for table in tables if (name := self.file_of(table))]
        signatures = [(name, *signature(*self._place(name))) for name in names]
        return hashlib.sha256(repr(signatures).encode()).hexdigest()[:16]

    @cached_property
    def _names(self) -> frozenset[str]:
        if self.path.is_dir():
            return frozenset(path.name for path in self.path.iterdir() if path.is_file())
        with zipfile.ZipFile(self.path) as archive:
            members = archive.namelist()
        return frozenset(member.removeprefix(self.inside) for member in members if member.startswith(self.inside))

    def _place(self, name: str) -> tuple[Path, str]:
        """Returns the file to open, and the member of it if it is a zip."""
        return (self.path / name, "") if self.path.is_dir() else (self.path, self.inside + name)


def find_release(folder: Path, version: str = "", *, setting: str = "source") -> OnetRelease:
    """Finds the newest version in a folder and its folders down to `DEPTH`, or the requested one.

    Args:
      version: such as 29.3.
      setting: of the folder in the configuration, for messages.

    Raises:
      UserError: no such folder, or no such version in it.
    """
    check_folder(folder, f"Expected the folder of O*NET's text files: set {setting}.path to it. Get them from {WHERE}")
    releases = releases_in(folder)
    wanted = tuple(map(int, re.findall(r"\d+", version)))
    fitting = [release for release in releases if not version or release.version == wanted]
    if fitting:
        return newest(fitting)
    if not releases:
        raise UserError(f"{folder} holds no O*NET database, a zip or folder with {_OCCUPATIONS!r}. Get it from {WHERE}")
    there = ", ".join(_dotted(found) for found in sorted({release.version for release in releases}))
    raise UserError(
        f"{setting}.version is {version!r}, but {folder} holds O*NET {there}. Expected one of these, or empty for the "
        "newest."
    )


def releases_in(folder: Path) -> list[OnetRelease]:
    """Finds every version in a folder and its folders; UserError if a zip with O*NET's name is damaged."""
    return [release for path in files_in(folder, DEPTH) for release in _releases(path)]


def newest(releases: Sequence[OnetRelease]) -> OnetRelease:
    """Returns the release with the highest version, the first of several."""
    return max(releases, key=lambda release: release.version)


def _releases(path: Path) -> Iterator[OnetRelease]:
    if path.name == _OCCUPATIONS:
        yield OnetRelease(_version(path.parent.name), path.parent, "")
    elif path.suffix.lower() == ".zip":
        try:
            with zipfile.ZipFile(path) as archive:
                members = archive.namelist()
        except ZIP_DAMAGE as error:
            if _version(path.name):
                raise _damaged(path, f": {error}") from error
            return  # probably not O*NET's
        for member in members:
            if PurePosixPath(member).name == _OCCUPATIONS:
                inside = member.removesuffix(_OCCUPATIONS)
                yield OnetRelease(_version(inside) or _version(path.name), path, inside)


def _version(name: str) -> tuple[int, ...]:
    found = _VERSION.search(name)
    return tuple(map(int, found.groups())) if found else ()


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version)) or "of unknown version"


def _damaged(path: Path, what: str) -> UserError:
    return UserError(f"{path} ({path.stat().st_size:,} bytes) is damaged{what}. Download it again: {WHERE}")
