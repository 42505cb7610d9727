"""Sources of targets: ESCO or O*NET as downloaded, a column of a table, or one text per line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from uwe_jax.data.text import normalise
from uwe_jax.retrieval.store.columns import DESCRIPTION
from uwe_jax.retrieval.store.names import Name
from uwe_jax.retrieval.table_targets import FLAGS, Flags, check_file, table_targets
from uwe_jax.retrieval.targets import EXPECTED, Row, Targets
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import near_on_disk
from uwe_jax.sources.esco.reader import read_concepts
from uwe_jax.sources.esco.release import DOWNLOAD, choose_release, find_files, found_instead
from uwe_jax.sources.folders import DEPTH
from uwe_jax.sources.onet import tables
from uwe_jax.sources.onet.release import WHERE, newest, releases_in
from uwe_jax.sources.onet.source import read_titles

# Targets in ESCO and O*NET. O*NET's products and titles have no ids.
ESCO_KINDS = ("skills", "occupations")
ONET_KINDS = {
    "occupations": tables.OCCUPATIONS,
    "activities": tables.DETAILED,
    "tasks": tables.STATEMENTS,
    "technologies": tables.TECHNOLOGIES,
    "tools": tables.TOOLS,
    "titles": tables.ALTERNATE_TITLES,
}
_WITHOUT_ID = {"technologies", "tools", "titles"}


def read_targets(
    path: Path | str,
    *,
    kind: str = "",
    column: str = "",
    id_column: str = "",
    language: str = "en",
    version: str = "",
    keep: Sequence[str] = (),
    names: str = "",
    descriptions: str = "",
    target_names: bool = True,
    flags: Flags = FLAGS,
) -> Targets:
    """Reads targets; those of ESCO with their alternative labels, O*NET's occupations with their further titles.

    Args:
      path: the folder of ESCO's or O*NET's zips or one of these zips; a table in one of `FORMATS`; or a .txt with one
        text per line.
      kind: of `ESCO_KINDS` or `ONET_KINDS`, for a folder; "" takes the skills of ESCO, and notes the others there.
      column: of a table, with the texts; see `text_column`.
      id_column: of a table; "" takes the one called id, uri, code or alike, if there is one.
      language: of ESCO's labels; several, as en,de, add those of the others to the names.
      version: of ESCO or O*NET; "" takes the newest.
      keep: further columns of a table; empty keeps all that hold one value per row, and only "" none.
      names: column of a table with further names of every target: a list, or texts separated by line breaks, | or ;.
      descriptions: column of a table with a description of every target, a text of another role; of ESCO and of
        O*NET's occupations only "description".
      target_names: whether targets have several names, in a table those of all rows with one id.
      flags: of the running command that name these columns and the kind, for messages.

    Raises:
      UserError: there is no such path, kind or column, it is broken, one id has two texts without `target_names`, or
        nothing is left.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise UserError(f"There is no {path}.{near_on_disk(path)} {EXPECTED}")
    if path.is_dir() or path.suffix.lower() == ".zip":
        if named := column or id_column or names or next(iter(keep), ""):
            raise UserError(f"{path} is not a table, so it has no column {named!r}. Use {flags.kind} for a folder.")
        if descriptions not in ("", DESCRIPTION):
            raise UserError(f"{path} is not a table: its descriptions are {DESCRIPTION!r}, not {descriptions!r}.")
        return _of_downloads(path, kind, language, version, target_names, flags.kind, described=bool(descriptions))
    check_file(path)
    if kind:
        raise UserError(
            f"{flags.kind} {kind} is for folders of ESCO or O*NET, and {path} is a file. Name a column of it with "
            f"{flags.column}."
        )
    return table_targets(path, column, id_column, keep, names, descriptions, flags=flags, several=target_names)


def _of_downloads(
    path: Path, kind: str, language: str, version: str, target_names: bool, kind_flag: str, *, described: bool
) -> Targets:
    folder = path if path.is_dir() else path.parent
    inside = find_files(path, DEPTH)
    esco = {role: found for role in ESCO_KINDS if (found := choose_release(inside, (role,), language, version))}
    known = [release for release in releases_in(folder) if path in (folder, release.path)]
    fitting = [release for release in known if version in ("", release.label)]
    onet = newest(fitting) if fitting else None
    offers: dict[str, list[str]] = {}
    for role, release in esco.items():
        offers.setdefault(str(release), []).append(role)
    if onet:
        offers[str(onet)] = [name for name, table in ONET_KINDS.items() if onet.file_of(table)]
    by_default: tuple[str, ...] = ()
    if not kind:
        kind = ESCO_KINDS[0]
        others = dict.fromkeys(each for kinds in offers.values() for each in kinds if each != kind)
        by_default = (f"{kind} by default, {kind_flag} also takes {', '.join(others)}",) if others else ()
    holding = [release for release, kinds in offers.items() if kind in kinds]
    if len(holding) == 1:
        where = f"{holding[0]}, {kind}, in {path}"
        if kind in esco:
            concepts = read_concepts(esco[kind], kind, descriptions=described)
            labelled = (
                Row(
                    uri,
                    label,
                    names=(
                        *(map(Name, concepts.alternatives_of(uri)) if target_names else ()),
                        *_description(concepts.descriptions[uri] if described else ""),
                    ),
                )
                for uri, label in concepts.labels.items()
                if label
            )
            return Targets.of(where, labelled, notes=(*by_default, *concepts.notes))
        assert onet is not None
        if described and kind != "occupations":
            raise UserError(f"O*NET has descriptions of occupations alone, not of {kind}. Give '' as their column.")
        rows = onet.rows(tables.DESCRIPTIONS if described else ONET_KINDS[kind])
        titles: dict[str, list[Name]] = defaultdict(list)
        notes: list[str] = []
        if target_names and kind == "occupations" and onet.file_of(tables.ALTERNATE_TITLES):
            edges, notes = read_titles(onet)
            for edge in edges:
                titles[edge.left_id].append(Name(edge.right_text))
        named = (
            Row(
                row[1] if kind in _WITHOUT_ID else row[0],
                row[1],
                names=(*titles.get(row[0], ()), *_description("".join(row[2:]))),
            )
            for row in rows
        )
        return Targets.of(where, named, notes=notes)
    if holding:
        raise UserError(
            f"{path} holds the {kind} of {' and of '.join(holding)}. Expected one: name the folder or zip of one of "
            "them."
        )
    role = kind if kind in ESCO_KINDS else ESCO_KINDS[0]
    instead = "" if esco else found_instead(inside, (role,), language, version, ("--language ", "--version "))
    if not offers:
        asked = f"version {version} of " if version else ""
        raise UserError(
            f"{path} holds no {asked}ESCO in the language {language!r} and no {asked}O*NET.{instead} For ESCO: "
            f"{DOWNLOAD} For O*NET: {WHERE}"
        )
    there = "; ".join(f"{release}: {', '.join(kinds)}" for release, kinds in offers.items())
    raise UserError(f"{path} holds no {kind}. It holds {there}. Name one of these with {kind_flag}.{instead}")


def _description(text: str) -> list[Name]:
    return [Name(text, DESCRIPTION)] if (text := normalise(text)) else []
