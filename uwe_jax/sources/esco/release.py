"""Finds the ESCO files that a graph needs in a folder of downloads, by the contents of the zips."""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.zips import ZIP_DAMAGE, read_member, signature
from uwe_jax.sources.folders import DEPTH, check_folder, files_in

DOWNLOAD = (
    "Download from https://esco.ec.europa.eu/en/use-esco/download, content 'classification', file type "
    "'csv': the zip of your language and, up to version 1.1, the zip without a language, which holds the "
    "relations. Put them into one folder, names unchanged."
)
# The roles of the files that each graph is read from.
NEEDS = {
    "skill_job": ("skills", "occupations", "relations"),
    "skill_alias": ("skills",),
    "job_title": ("occupations",),
    "job_alias": ("occupations",),
    "skill_description": ("skills",),
    "job_description": ("occupations",),
    "skill_skill": ("skills", "skill_relations"),
}

# The portal's names of these files, in any language.
_NAME = re.compile(r"((skills|occupations)_[a-z]{2,3}|(occupation|skill)SkillRelations(_[a-z]{2,3})?)\.csv")
_LABELLED = ("skills", "occupations")  # roles of files in one language each
_VERSION = re.compile(r"(?<![a-z])v(\d+(?:\.\d+)*)", re.IGNORECASE)


@dataclass(frozen=True)
class EscoFile:
    """One CSV of the portal, inside a zip or unzipped."""

    name: str  # the portal's, such as skills_en.csv
    path: Path  # of the zip, or of the CSV itself
    member: str  # its name inside the zip; empty for an unzipped CSV
    version: str  # such as 1.1.1, from the name of the zip or of a folder; empty if neither states one

    def __str__(self) -> str:
        return f"{self.path.name}: {self.member}" if self.member else str(self.path)

    @cached_property
    def signature(self) -> tuple[str, int, int]:
        """Name, size in bytes and CRC-32 of the content: the same zipped and unzipped."""
        return self.name, *signature(self.path, self.member)

    def read(self) -> bytes:
        """Reads the content; UserError if the zip is damaged."""
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

    version: str  # empty if unknown
    language: str  # of the labels; of several, as en,de, that of the first, and the others have further names
    files: dict[str, EscoFile]  # by role, of `file_names`; those available
    further: dict[str, tuple[EscoFile, ...]] = field(default_factory=dict)  # by role, of the further languages

    def __str__(self) -> str:
        return f"ESCO {'v' + self.version if self.version else 'of unknown version'} ({self.language})"

    def digest(self, graph: str) -> str:
        """Returns 16 hexadecimal digits that change with any file of a graph of `NEEDS`."""
        roles = NEEDS[graph]
        signatures = [self.files[role].signature for role in roles]
        signatures += [file.signature for role in roles for file in self.further.get(role, ())]
        return hashlib.sha256(repr(signatures).encode()).hexdigest()[:16]


def find_release(
    folder: Path | str, graphs: Sequence[str], language: str = "en", version: str = "", *, setting: str = "source"
) -> EscoRelease:
    """Chooses the files for some graphs, all of one version.

    Args:
      folder: with the portal's zips, or their contents, in it or in its folders down to `DEPTH`.
      graphs: wanted, of `NEEDS`.
      language: code of the labels' language, as in skills_en.csv; of several, as en,de, all must be there.
      version: such as 1.1.1; empty takes the newest complete one.
      setting: of the folder in the configuration, for messages.

    Raises:
      UserError: no such folder, a damaged zip, no complete version, or two different files of one name and version.
    """
    folder = Path(folder).expanduser()
    version = plain_version(version)
    roles = list(dict.fromkeys(role for graph in graphs for role in NEEDS[graph]))
    check_folder(folder, f"Expected the folder of the ESCO zips: set {setting}.path to it. {DOWNLOAD}")
    found = find_files(folder, DEPTH)
    if release := choose_release(found, roles, language, version):
        return release
    fewer = ""
    if len(roles) > 1 and (skills_alone := [graph for graph in graphs if NEEDS[graph] == ("skills",)]):
        fewer = f" For {' and '.join(skills_alone)} alone the skills are enough: set {setting}.graphs to that."
    raise UserError(
        f"{folder} does not hold what {' and '.join(graphs)} need. Expected "
        f"{expected_files(language, roles)}, all of {f'version {version}' if version else 'one version'}."
        f"{found_instead(found, roles, language, version, flags_of(setting)) or ' Found no file of ESCO.'} "
        f"{DOWNLOAD}{fewer}"
    )


def expected_files(language: str, roles: Sequence[str]) -> str:
    """Lists the portal's names of the files of some roles, in all languages."""
    names = (file_names(each)[role][0] for each in plain_languages(language) for role in roles)
    return ", ".join(dict.fromkeys(names))


def file_names(*languages: str) -> dict[str, tuple[str, ...]]:
    """Returns the portal's names of each role's file: of labels those in the first language."""
    # Since 1.2 the relations are part of each language's zip.
    relations = {"relations": "occupationSkillRelations", "skill_relations": "skillSkillRelations"}
    return {role: (f"{role}_{languages[0]}.csv",) for role in _LABELLED} | {
        role: (f"{name}.csv", *(f"{name}_{language}.csv" for language in languages)) for role, name in relations.items()
    }


def choose_release(
    found: Sequence[EscoFile], roles: Sequence[str], language: str = "en", version: str = ""
) -> EscoRelease | None:
    """Chooses the files of some roles, all of one version; None if no version has them all.

    Arguments and errors are those of `find_release`, with files by `find_files` and roles of `file_names`.
    """
    version = plain_version(version)
    languages = plain_languages(language)
    names = file_names(*languages)
    labelled = {role: [file_names(each)[role] for each in languages[1:]] for role in roles if role in _LABELLED}
    needed = [*(names[role] for role in roles), *(each for further in labelled.values() for each in further)]
    per_version = _per_version(found)
    for newest in sorted(per_version, key=lambda text: [int(part) for part in text.split(".") if part], reverse=True):
        if version in ("", newest) and _has_all(per_version[newest], needed):
            chosen = {role: _only(per_version[newest], names[role]) for role in roles}
            more = {role: tuple(_only(per_version[newest], each) for each in labelled[role]) for role in labelled}
            return EscoRelease(newest, ",".join(languages), chosen, more)
    return None


def find_files(place: Path, depth: int) -> list[EscoFile]:
    """Finds ESCO's files in a zip, or, zipped or not, in a folder and its folders down to `depth`.

    Raises:
      UserError: a zip is damaged.
    """
    paths, folder = ([place], place.parent) if place.is_file() else (files_in(place, depth), place)
    return [file for path in paths for file in _csv_files(path, folder)]


def open_zip(path: Path) -> zipfile.ZipFile:
    """Opens a zip; UserError if it is damaged."""
    try:
        return zipfile.ZipFile(path)
    except ZIP_DAMAGE as error:
        raise _damaged(path, str(error)) from error


def plain_version(version: str) -> str:
    """Returns a version without its v."""
    return version.strip().lower().removeprefix("v")


def plain_languages(language: str) -> tuple[str, ...]:
    """Returns the codes of languages, separated by commas, as in the portal's file names: DE is de.

    >>> plain_languages("DE"), plain_languages("en, de,EN")
    (('de',), ('en', 'de'))
    """
    return tuple(dict.fromkeys(each.strip().lower() for each in language.split(",") if each.strip())) or ("",)


def flags_of(setting: str) -> tuple[str, str]:
    """Returns the flags of a training source that choose its language and its version, for `found_instead`."""
    return f"--config.{setting}.language=", f"--config.{setting}.version="


def found_instead(
    found: Sequence[EscoFile], roles: Sequence[str], language: str, version: str, flags: tuple[str, ...]
) -> str:
    """Returns a sentence on the ESCO files where `choose_release` finds no complete release, after a space.

    It names the languages of each version that have all roles, and how to choose one; of a version without any its
    files. "" if there are no files.

    Args:
      flags: that choose the language and the version, up to their values; () names none.
    """
    asked, version = plain_languages(language), plain_version(version)
    there, ways = [], []
    for number, files in sorted(_per_version(found).items()):
        codes = _languages(files, roles)
        listed = f" in {', '.join(codes)}" if codes else f": {', '.join(sorted({file.name for file in files}))}"
        there.append(f"{f'v{number}' if number else 'of unknown version'}{listed}")
        for code in codes if flags else ():
            language_flag, version_flag = flags
            way = [] if asked == (code,) else [f"{language_flag}{code}"]
            if version not in ("", number):
                way.append(f"{version_flag}{number}" if number else f"no {version_flag.rstrip(' =')}")
            ways.append(" ".join(way))
    choice = f"; choose {'this' if len(there) == len(ways) == 1 else 'one'} with {min(ways, key=len)}" if ways else ""
    return f" Found ESCO {'; '.join(there)}{choice}." if found else ""


def _languages(files: Sequence[EscoFile], roles: Sequence[str]) -> list[str]:
    """Returns the languages in which files of one version have all roles."""
    codes = sorted({file.name.rpartition("_")[2].removesuffix(".csv") for file in files if "_" in file.name})
    return [code for code in codes if _has_all(files, [file_names(code)[role] for role in roles])]


def _has_all(files: Sequence[EscoFile], needed: Iterable[tuple[str, ...]]) -> bool:
    """Says whether files have one of the names of each file that is needed."""
    return all(map({file.name for file in files}.intersection, needed))


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
    """Returns the file with the first available of some names; identical copies of it are allowed."""
    name = next(name for name in names if any(file.name == name for file in files))
    first, *copies = [file for file in files if file.name == name]
    for file in copies:
        if file.signature != first.signature:
            raise UserError(
                f"{name} of version {file.version or 'unknown'} exists twice with different content: "
                f"{first} ({first.signature[1]:,} bytes) and {file} ({file.signature[1]:,} bytes). "
                "Expected one: remove the one you do not want."
            )
    return first


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(
        f"{path} ({path.stat().st_size:,} bytes) is not a readable zip file: {reason}. Expected the portal's "
        f"zip: download it again, or move it out of the folder. {DOWNLOAD}"
    )
