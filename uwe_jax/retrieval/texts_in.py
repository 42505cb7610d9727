"""Sources of targets: ESCO or O*NET as downloaded, a column of a table, or one text per line."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from uwe_jax.data.text import normalise
from uwe_jax.retrieval.further_columns import FurtherColumns
from uwe_jax.retrieval.store.stored_targets import Index
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.esco.reader import read_concepts
from uwe_jax.sources.esco.release import DOWNLOAD, choose_release, find_files, found_instead
from uwe_jax.sources.folders import DEPTH
from uwe_jax.sources.notes import counted
from uwe_jax.sources.onet import tables
from uwe_jax.sources.onet.release import WHERE, newest, releases_in
from uwe_jax.sources.tables.chunk import Table
from uwe_jax.sources.tables.formats import EXPECTED_FORMATS, is_text_list, table_format
from uwe_jax.sources.tables.names import NAMES, named_columns, same_names
from uwe_jax.sources.tables.problems import Problems, shorten
from uwe_jax.sources.tables.reading import open_table, table_rows
from uwe_jax.sources.tables.values import TYPES, id_text

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
_EXPECTED = (
    f"Expected the folder of ESCO's or O*NET's zips, a table in one of {EXPECTED_FORMATS}, or a .txt with one text per "
    "line."
)


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
    _check_file(path)
    if kind:
        raise UserError(
            f"--kind {kind} is for folders of ESCO or O*NET, and {path} is a file. Name a column of it with --column."
        )
    return _of_table(path, column, id_column, keep)


def read_ids(path: Path | str, id_column: str = "") -> list[str]:
    """Reads the distinct ids in a file: of a table's column, or one per line of a .txt.

    Raises:
      UserError: there is no such file or column, or it holds no id.
    """
    path = Path(path).expanduser()
    _check_file(path)
    table = open_table(path, quoted=True, columns=[id_column])
    column = table.columns[0] if is_text_list(path) else _chosen(path, table, "id", id_column)
    if not column:
        raise _no_column(path, table, "id")
    broken = Problems(str(path))
    found = [_id_of(row[column], place, broken) for place, row in table_rows(path, [column], broken)]
    broken.check()
    ids = list(dict.fromkeys(filter(None, found)))
    if not ids:
        raise UserError(f"{path} holds no id. Expected one per line, or a column of ids.")
    return ids


def text_column(path: Path, column: str = "", role: str = "target") -> str:
    """Returns the column of a table that holds the texts.

    Without a name it is one of `NAMES` for the role, target or query, or the only one in a format with column names.

    Raises:
      UserError: there is no such column, or it cannot be determined.
    """
    table = open_table(path, quoted=True, columns=[column])
    chosen = _chosen(path, table, role, column)
    if not chosen and len(table.columns) == 1:
        (only,) = table.columns
        if not table.named:
            raise UserError(
                f"{path} has one column, and its first row, {shorten(only)}, is not one of the known names "
                f"({', '.join(NAMES[role])}), so it may be a text. If it is one, name the column by its number, "
                f"--column 1, or add a row above it. If it is a name, pass it as --column {shlex.quote(only)}."
            )
        return only
    if not chosen:
        raise _no_column(path, table, role)
    return chosen


def _of_downloads(path: Path, kind: str, language: str, version: str) -> Targets:
    folder, depth = (path, DEPTH) if path.is_dir() else (path.parent, 0)
    if not folder.is_dir() or not path.exists():
        raise UserError(f"There is no {path}. {_EXPECTED}")
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
            return _targets(where, ((uri, label) for uri, label in concepts.labels.items() if label), concepts.notes)
        assert onet is not None
        rows = onet.rows(ONET_KINDS[kind])
        return _targets(where, ((row[1] if kind in _WITHOUT_ID else row[0], row[1]) for row in rows))
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


def _of_table(path: Path, column: str, id_column: str, keep: Sequence[str]) -> Targets:
    column = text_column(path, column)
    table = open_table(path, quoted=True, columns=[column, id_column])
    id_column = _chosen(path, table, "id", id_column)
    columns = list(dict.fromkeys(filter(None, (column, id_column))))
    further = FurtherColumns(path, (name for name in table.columns if name not in columns), keep)
    broken, pairs = Problems(str(path)), []
    for place, row in table_rows(path, [*columns, *further.names], broken):
        text = row[column]
        if not isinstance(text, str) or not normalise(text):
            broken.add(place, f"{column} {shorten(str(text))}", "a text")
        else:
            pairs.append((_id_of(row.get(id_column), place, broken) or normalise(text), normalise(text)))
            further.add(row)
    broken.check()
    return _targets(str(path) if is_text_list(path) else f"{path}, column {column}", pairs, further=further)


def _targets(
    origin: str,
    pairs: Iterable[tuple[str, str]],
    notes: Iterable[str] = (),
    further: FurtherColumns | None = None,
) -> Targets:
    """Builds targets of ids and texts; of rows that repeat both the first counts."""
    texts: dict[str, str] = {}
    rows: dict[str, int] = {}
    repeated, differing = 0, 0
    for row, (target_id, text) in enumerate(pairs):
        if texts.setdefault(target_id, text) != text:
            raise UserError(
                f"{origin}: the id {shorten(target_id)} has two texts, {shorten(texts[target_id])} and "
                f"{shorten(text)}. Correct one of the ids, or name another column of ids."
            )
        first = rows.setdefault(target_id, row)
        repeated += first < row
        differing += further is not None and not further.equal(first, row)
    if not texts:
        raise UserError(f"{origin} holds no text. {_EXPECTED}")
    left_out = counted(repeated, "duplicate rows left out")
    left_out += counted(differing, "of them with other values in further columns than the first, which counts")
    left_out += further.notes if further else []
    columns = further.of_rows(rows.values()) if further else {}
    return Targets(origin, tuple(texts.values()), tuple(texts), (*notes, *left_out), columns)


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"There is no {path}. {_EXPECTED}")
    if not is_text_list(path) and not table_format(path):
        raise UserError(f"{path} is in no supported format. {_EXPECTED}")


def _chosen(path: Path, table: Table, role: str, column: str) -> str:
    """Returns the column of a role, by `column` or by the known names; "" where there is none."""
    same = same_names(table.columns, column)
    if column and not same:
        raise UserError(
            f"{path} has no column {column!r}. Its columns: {', '.join(table.columns) or 'none'}. Name one of these."
        )
    return same[0] if column else named_columns(table.columns, [role]).get(role, "")


def _no_column(path: Path, table: Table, role: str) -> UserError:
    names = ", ".join(table.columns) or "none"
    flag = "--id_column" if role == "id" else "--column"
    return UserError(
        f"{path} has no column called {' or '.join(NAMES[role])}. Its columns: {names}. Use {flag} NAME, or "
        f"{flag} NUMBER where the first row is data: 1 is the first column."
    )


def _id_of(value: object, place: str, broken: Problems) -> str:
    number = id_text(value)
    if number is None:
        broken.add(place, f"id {shorten(str(value))}", TYPES["id"])
    return number or ""
