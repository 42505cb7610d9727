"""Finds the ESCO files that a graph needs in a folder of downloads, by what the zips hold."""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.zips import ZIP_DAMAGE, read_member, signature
from uwe_jax.sources.folders import DEPTH, check_folder, files_in

DOWNLOAD = (
    "Download from https://esco.ec.europa.eu/en/use-esco/download, content 'classification', file type "
    "'csv': the zip of your language and, up to version 1.1, the zip without a language, which holds the "
    "relations. Put them into one folder as they are, names unchanged."
)
# What each graph is made of.
NEEDS = {
    "skill_job": ("skills", "occupations", "relations"),
    "skill_alias": ("skills",),
    "job_title": ("occupations",),
    "job_alias": ("occupations",),
    "skill_description": ("skills",),
    "job_description": ("occupations",),
    "skill_skill": ("skills", "skill_relations"),
}

# What the portal calls these files, in any language.
_NAME = re.compile(r"((skills|occupations)_[a-z]{2,3}|(occupation|skill)SkillRelations(_[a-z]{2,3})?)\.csv")
_VERSION = re.compile(r"(?<![a-z])v(\d+(?:\.\d+)*)", re.IGNORECASE)


@dataclass(frozen=True)
class EscoFile:
    """One CSV of the portal, inside a zip or unzipped."""

    name: str  # as the portal calls it, such as skills_en.csv
    path: Path  # of the zip, or of the CSV itself
    member: str  # its name inside the zip; empty for a CSV on its own
    version: str  # such as 1.1.1, from the name of the zip or of a folder; empty where neither says

    def __str__(self) -> str:
        return f"{self.path.name}: {self.member}" if self.member else str(self.path)

    @cached_property
    def signature(self) -> tuple[str, int, int]:
        """Name, size in bytes and CRC-32 of the content: the same zipped and unzipped."""
        return self.name, *signature(self.path, self.member)

    @property
    def stamp(self) -> tuple[int, int]:
        """Time of the last change in nanoseconds and size in bytes, of the zip or of the CSV itself."""
        status = self.path.stat()
        return status.st_mtime_ns, status.st_size

    def read(self) -> bytes:
        """The content.

        Raises:
          UserError: the zip is damaged.
        """
        if not self.member:
            return self.path.read_bytes()
        with open_zip(self.path) as archive:
            try:
                return read_member(archive, self.member)
            except ZIP_DAMAGE as error:
                raise _damaged(self.path, f"{self.member}: {error}") from error


@dataclass(frozen=True)
class EscoRelease:
    """The files of one version in one language."""

    version: str  # empty where no name says
    language: str
    files: dict[str, EscoFile]  # by role, of `file_names`; those there are

    def __str__(self) -> str:
        return f"ESCO {'v' + self.version if self.version else 'of unknown version'} ({self.language})"

    def digest(self, graph: str) -> str:
        """Sixteen hexadecimal digits that change whenever a file that a graph of `NEEDS` is made of does."""
        signatures = [self.files[role].signature for role in NEEDS[graph]]
        return hashlib.sha256(repr(signatures).encode()).hexdigest()[:16]


def find_release(
    folder: Path | str, graphs: Sequence[str], language: str = "en", version: str = "", *, setting: str = "source"
) -> EscoRelease:
    """Chooses the files for some graphs, all of one version.

    Args:
      folder: with the portal's zips, or their contents; folders in it are looked into as deep as `DEPTH`.
      graphs: wanted, of `NEEDS`.
      language: code of the labels' language, as in skills_en.csv.
      version: such as 1.1.1; empty takes the newest that has everything.
      setting: where the folder is configured, for messages.

    Raises:
      UserError: no such folder, a damaged zip, no version that has everything, or two different files of one
        name and version.
    """
    folder = Path(folder).expanduser()
    version = plain_version(version)
    roles = list(dict.fromkeys(role for graph in graphs for role in NEEDS[graph]))
    check_folder(folder, f"Expected the folder of the ESCO zips: set {setting}.path to it. {DOWNLOAD}")
    found = find_files(folder, DEPTH)
    release = choose_release(found, roles, language, version)
    if release is None:
        names = file_names(language)
        raise _incomplete(folder, found, [names[role][0] for role in roles], graphs, version, setting)
    return release


def file_names(language: str) -> dict[str, tuple[str, ...]]:
    """The portal's names of each role's file."""
    language = plain_language(language)
    return {
        "skills": (f"skills_{language}.csv",),
        "occupations": (f"occupations_{language}.csv",),
        # Since 1.2 the relations are part of the language's zip.
        "relations": ("occupationSkillRelations.csv", f"occupationSkillRelations_{language}.csv"),
        "skill_relations": ("skillSkillRelations.csv", f"skillSkillRelations_{language}.csv"),
    }


def choose_release(
    found: Sequence[EscoFile], roles: Sequence[str], language: str = "en", version: str = ""
) -> EscoRelease | None:
    """The files of some roles, all of one version; None where no version has them all.

    Args:
      found: by `find_files`.
      roles: wanted, of `file_names`.
      language: code of the labels' language, as in skills_en.csv.
      version: such as 1.1.1; empty takes the newest that has everything.

    Raises:
      UserError: two different files of one name and version.
    """
    version = plain_version(version)
    names = file_names(language)
    per_version = _per_version(found)
    complete = [
        candidate
        for candidate, files in per_version.items()
        if version in ("", candidate) and all(any(file.name in names[role] for file in files) for role in roles)
    ]
    if not complete:
        return None
    newest = max(complete, key=lambda text: [int(part) for part in text.split(".") if part])
    chosen = {role: _only(per_version[newest], names[role]) for role in roles}
    return EscoRelease(newest, plain_language(language), chosen)


def find_files(folder: Path, depth: int) -> list[EscoFile]:
    """ESCO's files in a folder and the folders in it down to `depth`, zipped or not, in the order of `files_in`.

    Raises:
      UserError: a damaged zip.
    """
    return [file for path in files_in(folder, depth) for file in _csv_files(path, folder)]


def open_zip(path: Path) -> zipfile.ZipFile:
    """Opens a zip; UserError if it is none."""
    try:
        return zipfile.ZipFile(path)
    except ZIP_DAMAGE as error:
        raise _damaged(path, str(error)) from error


def plain_version(version: str) -> str:
    """A version as a user writes it, without its v."""
    return version.strip().lower().removeprefix("v")


def plain_language(language: str) -> str:
    """The code of a language as the portal's file names have it: DE is de."""
    return language.strip().lower()


def found_instead(found: Sequence[EscoFile], *, chosen: bool = True) -> str:
    """The files of ESCO that are there where those of a language and version are not: a sentence for a message.

    Args:
      found: by `find_files`.
      chosen: the user has chosen language and version, and may choose others.

    Returns:
      The sentence behind a space; "" where there is no file of ESCO at all.
    """
    remedy = "; ask for the language and version of these files" if chosen else ""
    return f" Found ESCO of {_listed(found)}{remedy}." if found else ""


def _listed(found: Sequence[EscoFile]) -> str:
    return "; ".join(
        f"{f'version {version}' if version else 'unknown version'}: {', '.join(sorted({file.name for file in files}))}"
        for version, files in sorted(_per_version(found).items())
    )


def _per_version(found: Sequence[EscoFile]) -> dict[str, list[EscoFile]]:
    per_version: dict[str, list[EscoFile]] = {}
    for file in found:
        per_version.setdefault(file.version, []).append(file)
    return per_version


def _csv_files(path: Path, folder: Path) -> Iterator[EscoFile]:
    # The innermost name that states a version counts: the zip's, then that of the folders around it.
    around = (part.name for part in path.relative_to(folder).parents)
    stated = (_VERSION.search(name) for name in (path.name, *around, folder.name))
    version = next((match.group(1) for match in stated if match), "")
    if _NAME.fullmatch(path.name):
        yield EscoFile(path.name, path, "", version)
    elif path.suffix.lower() == ".zip":
        with open_zip(path) as archive:
            members = archive.namelist()
        for member in members:
            name = member.rsplit("/", 1)[-1]
            if _NAME.fullmatch(name):
                yield EscoFile(name, path, member, version)


def _only(files: list[EscoFile], names: tuple[str, ...]) -> EscoFile:
    """The file with the first of the names that is there; copies of it are fine, rivals are not."""
    name = next(name for name in names if any(file.name == name for file in files))
    first, *copies = [file for file in files if file.name == name]
    for file in copies:
        if file.signature != first.signature:
            raise UserError(
                f"{name} of version {file.version or 'unknown'} is there twice with different content: "
                f"{first} ({first.signature[1]:,} bytes) and {file} ({file.signature[1]:,} bytes). "
                "Expected one: remove the one you do not want."
            )
    return first


def _incomplete(
    folder: Path,
    found: Sequence[EscoFile],
    names: list[str],
    graphs: Sequence[str],
    version: str,
    setting: str,
) -> UserError:
    asked = f" of version {version}" if version else " of one version"
    skills_alone = [graph for graph in graphs if NEEDS[graph] == ("skills",)]
    fewer = (
        f" For {' and '.join(skills_alone)} alone the skills are enough: set {setting}.graphs to that."
        if skills_alone and len(names) > 1
        else ""
    )
    return UserError(
        f"{folder} does not hold what {' and '.join(graphs)} need. Expected {', '.join(names)}, all{asked}. Found "
        f"{_listed(found) or 'no file of ESCO'}. {DOWNLOAD}{fewer}"
    )


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(
        f"{path} ({path.stat().st_size:,} bytes) is no zip that can be read: {reason}. Expected the portal's "
        f"zip: download it again, or move it out of the folder. {DOWNLOAD}"
    )
