"""The skills that texts are tagged with, their ids and aliases: ESCO as downloaded, or a user's own list."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from uwe_jax.data.text import normalise
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.progress import counted
from uwe_jax.sources.esco.reader import read_concepts
from uwe_jax.sources.esco.release import DOWNLOAD, choose_release, find_files, found_instead
from uwe_jax.sources.folders import DEPTH, check_folder, files_in
from uwe_jax.sources.tables.formats import EXPECTED_FORMATS, is_text_list, table_format
from uwe_jax.sources.tables.problems import Problems, shorten
from uwe_jax.sources.tables.reading import read_rows

FLAGS = ("--language ", "--esco-version ")  # of commands that name a taxonomy
NAME = "taxonomy"  # of a user's file, without its ending
EXPECTED = (
    f"Expected the folder of the ESCO zips, the zip of a language, or a file {NAME} in one of {EXPECTED_FORMATS} with "
    f"the columns label[,aliases][,id], or {NAME}.txt with one label per line. For ESCO: {DOWNLOAD}"
)
_REQUIRED, _OPTIONAL = {"label": "text"}, {"aliases": "list", "id": "id"}
_ROLES = {"label": "label", "aliases": "aliases", "id": "id"}

LOG = logging.getLogger(__name__)


class Skill(NamedTuple):
    """A skill of a taxonomy."""

    id: str  # "" if the taxonomy has none
    label: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Taxonomy:
    """Skills with distinct labels."""

    origin: str  # what was read from where
    skills: tuple[Skill, ...]  # in the order of the file

    def __len__(self) -> int:
        return len(self.skills)

    @cached_property
    def digest(self) -> str:
        """A hash of ids, labels and aliases, of 16 hexadecimal digits."""
        return hashlib.sha256(json.dumps(self.skills).encode()).hexdigest()[:16]


def read_taxonomy(
    path: Path | str, *, language: str = "en", version: str = "", flags: tuple[str, str] = FLAGS
) -> Taxonomy:
    """Reads the skills of a file, or of a folder, searched two levels deep.

    A user's file called taxonomy takes precedence over an ESCO download. Of rows with one id the first has the label,
    and the labels of the others are aliases. Raises UserError if there is none, it is broken, or has no label.

    Args:
      path: see `EXPECTED`.
      language: of ESCO's labels; several, as en,de, add those of the others to the aliases.
      version: of ESCO; empty takes the newest.
      flags: of language and version, for messages (see `found_instead`).
    """
    path = Path(path).expanduser()
    zipped = path.is_file() and path.suffix.lower() == ".zip"
    if path.is_file() and not zipped:
        return _of_file(path)
    if not zipped:
        check_folder(path, EXPECTED)
    taxonomy = find_taxonomy(path, language=language, version=version)
    if taxonomy is None:
        raise UserError(f"{path} holds no taxonomy.{taxonomy_instead(path, language, version, flags)} {EXPECTED}")
    return taxonomy


def find_taxonomy(folder: Path, *, language: str = "en", version: str = "") -> Taxonomy | None:
    """Reads the taxonomy of a folder, or ESCO's zip, as `read_taxonomy` does; None if there is none."""
    own = [
        path
        for path in (files_in(folder, DEPTH) if folder.is_dir() else ())
        if path.name.split(".")[0].casefold() == NAME and (table_format(path) or is_text_list(path))
    ]
    if len(own) > 1:
        names = ", ".join(str(path.relative_to(folder)) for path in own)
        raise UserError(f"{folder} holds {len(own)} taxonomies: {names}. Expected one: move the others elsewhere.")
    if own:
        return _of_file(own[0])
    release = choose_release(find_files(folder, DEPTH), ("skills",), language, version)
    if release is None:
        return None
    concepts = read_concepts(release, "skills")
    skills = [Skill(uri, label, tuple(concepts.alternatives_of(uri))) for uri, label in concepts.labels.items()]
    return _checked(f"{release} in {folder}", skills)


def taxonomy_instead(folder: Path, language: str, version: str, flags: tuple[str, str]) -> str:
    """Describes the ESCO of another language or version in a folder; see `found_instead`."""
    return found_instead(find_files(folder, DEPTH), ("skills",), language, version, flags)


def _of_file(path: Path) -> Taxonomy:
    broken, skills = Problems(str(path)), []
    labels: dict[str, str] = {}  # by id
    further: list[str] = []
    for place, row in read_rows(path, path.name, _REQUIRED, broken, optional=_OPTIONAL, roles=_ROLES):
        number, label = row["id"], normalise(row["label"])
        if not label:
            broken.add(place, f"label {shorten(row['label'])}", "a text")
        first = labels.setdefault(number, label) if number else label
        names = [label] if label != first else []
        further += names
        skills.append(Skill(number, first, (*names, *filter(None, map(normalise, row["aliases"])))))
    broken.check()
    if further:
        what = f"{counted(len(further), 'row')} with the id of an earlier one"
        LOG.info(f"{path}: {what} taken as further names of its skill, such as {shorten(further[0])}.")
    return _checked(str(path), skills)


def _checked(origin: str, skills: list[Skill]) -> Taxonomy:
    """Merges skills of one label: the first id that is given, and all aliases."""
    merged: dict[str, Skill] = {}
    for skill in skills:
        if skill.label:
            before = merged.get(skill.label, Skill("", skill.label))
            aliases = dict.fromkeys((*before.aliases, *skill.aliases))
            merged[skill.label] = Skill(before.id or skill.id, skill.label, tuple(aliases))
    if not merged:
        raise UserError(f"{origin} holds no skill with a label. {EXPECTED}")
    return Taxonomy(origin, tuple(merged.values()))
