"""The skills that texts are tagged with, their ids and other names: ESCO as downloaded, or a user's own list."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from uwe_jax.data.text import normalise
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.esco.reader import read_concepts
from uwe_jax.sources.esco.release import DOWNLOAD, choose_release, find_files, found_instead
from uwe_jax.sources.folders import DEPTH, files_in
from uwe_jax.sources.tables.broken_rows import BrokenRows
from uwe_jax.sources.tables.chunks import column_names, cut, read_chunk
from uwe_jax.sources.tables.lists import split_list
from uwe_jax.sources.tables.problems import shorten
from uwe_jax.sources.tables.typed_rows import FORMATS, table_format

NAME = "taxonomy"  # of a user's file in a folder, without its ending
# How the columns of a user's file may be called, compared by letters and digits alone.
COLUMNS = {
    "label": ("label", "skill", "skilllabel", "preferredlabel", "name", "skillname", "title"),
    "aliases": ("aliases", "alias", "altlabels", "alternativelabels", "altlabel", "synonyms"),
    "id": ("id", "uri", "skillid", "concepturi", "skilluri", "code"),
}
EXPECTED = (
    f"Expected the folder of the ESCO zips, or a file {NAME} in one of {', '.join(FORMATS)} with the columns "
    f"label[,aliases][,id], or {NAME}.txt with one label a line. For ESCO: {DOWNLOAD}"
)
_ROWS = 50_000


class Skill(NamedTuple):
    """One skill; its id is "" where the taxonomy has none."""

    id: str
    label: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Taxonomy:
    """Skills with distinct labels.

    Attributes:
      origin: what was read from where.
      skills: in the order of the file.
    """

    origin: str
    skills: tuple[Skill, ...]

    def __len__(self) -> int:
        return len(self.skills)

    @cached_property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that change with any id, label or alias."""
        return hashlib.sha256(json.dumps(self.skills).encode()).hexdigest()[:16]


def read_taxonomy(path: Path | str, *, language: str = "en", version: str = "") -> Taxonomy:
    """The skills in a file, or in a folder and the folders two levels below it.

    A user's file called taxonomy comes before the ESCO download that lies in the same folder.

    Args:
      path: see `EXPECTED`.
      language: of ESCO's labels.
      version: of ESCO; empty takes the newest there is.

    Raises:
      UserError: there is none, it is broken, or holds no label.
    """
    path = Path(path).expanduser()
    if path.is_file():
        return _of_file(path)
    if not path.is_dir():
        raise UserError(f"There is no {path}. {EXPECTED}")
    taxonomy = find_taxonomy(path, language=language, version=version)
    if taxonomy is None:
        raise UserError(f"{path} holds no taxonomy.{taxonomy_instead(path)} {EXPECTED}")
    return taxonomy


def find_taxonomy(folder: Path, *, language: str = "en", version: str = "") -> Taxonomy | None:
    """As `read_taxonomy` for a folder; None where there is no taxonomy in it."""
    own = [
        path
        for path in files_in(folder, DEPTH)
        if path.name.split(".")[0].casefold() == NAME and (table_format(path) or path.suffix.lower() == ".txt")
    ]
    if len(own) > 1:
        names = ", ".join(str(path.relative_to(folder)) for path in own)
        raise UserError(f"{folder} holds {len(own)} taxonomies: {names}. Expected one: move the others elsewhere.")
    if own:
        return _of_file(own[0])
    release = choose_release(find_files(folder, DEPTH), ("skills",), language, version)
    if release is None:
        return None
    concepts = read_concepts(release.files["skills"])
    skills = [Skill(uri, label, tuple(concepts.alternatives_of(uri))) for uri, label in concepts.labels.items()]
    return _checked(f"{release} in {folder}", skills)


def taxonomy_instead(folder: Path) -> str:
    """The ESCO of another language or version in a folder without a taxonomy; see `found_instead`."""
    return found_instead(find_files(folder, DEPTH))


def _of_file(path: Path) -> Taxonomy:
    if path.suffix.lower() == ".txt":
        try:
            lines = path.read_text(encoding="utf-8-sig").split("\n")
        except UnicodeDecodeError as error:
            raise UserError(f"{path} is no UTF-8 text ({error}). Save it as UTF-8 and run again.") from error
        return _checked(str(path), [Skill("", label) for label in map(normalise, lines)])
    columns = named_columns(column_names(path), COLUMNS)
    if "label" not in columns:
        raise UserError(
            f"{path} has no column label; its columns: {', '.join(column_names(path)) or 'none'}. Expected label"
            "[,aliases][,id]: rename the column and run again."
        )
    broken, skills = BrokenRows(), []
    owners: dict[str, tuple[str, str]] = {}  # label and place of an id
    for chunk in cut(path, path.name, _ROWS):
        for place, row in read_chunk(chunk, list(columns.values()), broken):
            values = {role: row.get(column) for role, column in columns.items()}
            label, others = values["label"], split_list(values.get("aliases"), commas=False)
            if not isinstance(label, str) or not normalise(label):
                broken.add(place, f"label {shorten(str(label))}", "a text")
            elif others is None:
                broken.add(place, f"aliases {shorten(str(values['aliases']))}", "texts separated by ; or |, or a list")
            else:
                aliases = tuple(filter(None, map(normalise, others)))
                number = "" if values.get("id") is None else str(values["id"]).strip()
                first, where = owners.setdefault(number, (normalise(label), place))
                if number and first != normalise(label):
                    again = f"id {shorten(number)} again (of {shorten(first)} in {where})"
                    broken.add(place, again, "an id of its own for each label")
                skills.append(Skill(number, normalise(label), aliases))
    if broken.count:
        raise broken.error(str(path), "Nothing was read. Correct these rows and run again.")
    return _checked(str(path), skills)


def named_columns(names: list[str], synonyms: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """The column of every role that is there: the one with the earliest of its synonyms.

    >>> named_columns(["Job Title", "title", "body"], {"title": ("title", "jobtitle"), "description": ("body",)})
    {'title': 'title', 'description': 'body'}
    """
    plain = {"".join(filter(str.isalnum, name)).casefold(): name for name in reversed(names)}
    found = {role: next((plain[each] for each in known if each in plain), "") for role, known in synonyms.items()}
    return {role: name for role, name in found.items() if name}


def _checked(origin: str, skills: list[Skill]) -> Taxonomy:
    """Skills of one label become one: with the first id that is given, and the aliases of all."""
    merged: dict[str, Skill] = {}
    for skill in skills:
        if skill.label:
            before = merged.get(skill.label, Skill("", skill.label))
            aliases = dict.fromkeys((*before.aliases, *skill.aliases))
            merged[skill.label] = Skill(before.id or skill.id, skill.label, tuple(aliases))
    if not merged:
        raise UserError(f"{origin} holds no skill with a label. {EXPECTED}")
    return Taxonomy(origin, tuple(merged.values()))
