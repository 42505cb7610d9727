"""Sources of targets: ESCO or O*NET as downloaded, a column of a table, or one text per line."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from uwe_jax.retrieval.store.stored_targets import Index
from uwe_jax.retrieval.table_targets import EXPECTED, Row, check_file, table_targets
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.esco.reader import read_concepts
from uwe_jax.sources.esco.release import DOWNLOAD, choose_release, find_files, found_instead
from uwe_jax.sources.folders import DEPTH
from uwe_jax.sources.notes import counted
from uwe_jax.sources.onet import tables
from uwe_jax.sources.onet.release import WHERE, newest, releases_in
from uwe_jax.sources.tables.problems import shorten

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


@dataclass(frozen=True)
class Targets:
    """Texts to rank, with distinct ids.

    Attributes:
      origin: the source, for people.
      texts: normalised, none empty, n of them.
      ids: of the texts; the text itself where the source has none.
      notes: a phrase per reason why something was left out, with its number.
      columns: further columns of a table by their names, n values each; "" where a row has none.
    """

    origin: str
    texts: tuple[str, ...]
    ids: tuple[str, ...]
    notes: tuple[str, ...] = ()
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.texts)

    def unlike(self, there: Index) -> Targets:
        """Returns the targets that an index lacks, or has with another text or other values of these columns."""
        rows = list(zip(self.ids, self.texts, *self.columns.values(), strict=True))
        others = (there.columns.get(name) or itertools.repeat("") for name in self.columns)
        known = set(rows).intersection(zip(there.ids, there.texts, *others, strict=False))
        kept = [row for row in rows if row not in known]
        ids, texts, *columns = zip(*kept, strict=True) if kept else [()] * (2 + len(self.columns))
        notes = (*self.notes, *counted(len(known), "that exist already left out"))
        return Targets(self.origin, texts, ids, notes, dict(zip(self.columns, columns, strict=True)))


def read_targets(
    path: Path | str,
    *,
    kind: str = "",
    column: str = "",
    id_column: str = "",
    language: str = "en",
    version: str = "",
    keep: Sequence[str] = (),
) -> Targets:
    """Reads targets.

    Args:
      path: the folder of ESCO's or O*NET's zips or one of these zips; a table in one of `FORMATS`; or a .txt with one
        text per line.
      kind: of `ESCO_KINDS` or `ONET_KINDS`, for a folder; "" takes the skills of ESCO.
      column: of a table, with the texts; see `text_column`.
      id_column: of a table; "" takes the one called id, uri, code or alike, if there is one.
      language: of ESCO's labels.
      version: of ESCO or O*NET; "" takes the newest.
      keep: further columns of a table; empty keeps all that hold one value per row, and only "" none.

    Raises:
      UserError: there is no such path, kind or column, it is broken, one id has two texts, or nothing is left.
    """
    path = Path(path).expanduser()
    if path.is_dir() or path.suffix.lower() == ".zip":
        if named := column or id_column or next(iter(keep), ""):
            raise UserError(f"{path} is not a table, so it has no column {named!r}. Use --kind for a folder.")
        return _of_downloads(path, kind, language, version)
    check_file(path)
    if kind:
        raise UserError(
            f"--kind {kind} is for folders of ESCO or O*NET, and {path} is a file. Name a column of it with --column."
        )
    return _targets(*table_targets(path, column, id_column, keep))


def _of_downloads(path: Path, kind: str, language: str, version: str) -> Targets:
    folder, depth = (path, DEPTH) if path.is_dir() else (path.parent, 0)
    if not folder.is_dir() or not path.exists():
        raise UserError(f"There is no {path}. {EXPECTED}")
    inside = [file for file in find_files(folder, depth) if path in (folder, file.path)]
    esco = {role: found for role in ESCO_KINDS if (found := choose_release(inside, (role,), language, version))}
    known = [release for release in releases_in(folder) if path in (folder, release.path)]
    fitting = [release for release in known if version in ("", release.label)]
    onet = newest(fitting) if fitting else None
    offers: dict[str, list[str]] = {}
    for role, release in esco.items():
        offers.setdefault(str(release), []).append(role)
    if onet:
        offers[str(onet)] = [name for name, table in ONET_KINDS.items() if onet.file_of(table)]
    kind = kind or ESCO_KINDS[0]
    holding = [release for release, kinds in offers.items() if kind in kinds]
    if len(holding) == 1:
        where = f"{holding[0]}, {kind}, in {path}"
        if kind in esco:
            concepts = read_concepts(esco[kind].files[kind])
            labelled = (Row(uri, label) for uri, label in concepts.labels.items() if label)
            return _targets(where, labelled, notes=concepts.notes)
        assert onet is not None
        rows = onet.rows(ONET_KINDS[kind])
        return _targets(where, (Row(row[1] if kind in _WITHOUT_ID else row[0], row[1]) for row in rows))
    if holding:
        raise UserError(
            f"{path} holds the {kind} of {' and of '.join(holding)}. Expected one: name the folder or zip of one of "
            "them."
        )
    instead = "" if esco else found_instead(inside)
    if not offers:
        asked = f"version {version} of " if version else ""
        raise UserError(
            f"{path} holds no {asked}ESCO in the language {language!r} and no {asked}O*NET.{instead} For ESCO: "
            f"{DOWNLOAD} For O*NET: {WHERE}"
        )
    there = "; ".join(f"{release}: {', '.join(kinds)}" for release, kinds in offers.items())
    raise UserError(f"{path} holds no {kind}. It holds {there}. Name one of these with --kind.{instead}")


def _targets(origin: str, rows: Iterable[Row], columns: Sequence[str] = (), notes: Iterable[str] = ()) -> Targets:
    """Builds targets; of rows that repeat id and text the first counts."""
    kept: dict[str, Row] = {}
    repeated, differing = 0, 0
    for row in rows:
        first = kept.setdefault(row.id, row)
        if first.text != row.text:
            raise UserError(
                f"{origin}: the id {shorten(row.id)} has two texts, {shorten(first.text)} and {shorten(row.text)}. "
                "Correct one of the ids, or name another column of ids."
            )
        repeated += first is not row
        differing += first.values != row.values
    if not kept:
        raise UserError(f"{origin} holds no text. {EXPECTED}")
    left_out = counted(repeated, "duplicate rows left out")
    left_out += counted(differing, "of them with other values in further columns than the first, which counts")
    ids, texts, values = zip(*kept.values(), strict=True)
    return Targets(origin, texts, ids, (*notes, *left_out), dict(zip(columns, zip(*values, strict=True), strict=True)))
