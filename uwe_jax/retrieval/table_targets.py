"""Reads targets from the columns of a table."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from uwe_jax.data.text import normalise
from uwe_jax.retrieval.store.columns import DESCRIPTION, MAX_COLUMNS, MAX_NAME, check_column
from uwe_jax.retrieval.store.names import Name
from uwe_jax.retrieval.targets import EXPECTED, Row, Targets
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.settings import did_you_mean
from uwe_jax.sources.notes import noted, noted_of
from uwe_jax.sources.tables.chunk import WHOLE, Table
from uwe_jax.sources.tables.formats import is_text_list, table_format
from uwe_jax.sources.tables.names import NAMES, named_columns, same_names
from uwe_jax.sources.tables.problems import Problems, shorten
from uwe_jax.sources.tables.reading import open_table, table_rows
from uwe_jax.sources.tables.values import TYPES, id_text, split_list

_MOST_CHARACTERS = 1 << 28  # of distinct values of further columns: names and numbers to show and filter by


class Flags(NamedTuple):
    """Options of the running command that name what is read, for messages."""

    column: str = "--column"
    id_column: str = "--id-column"
    kind: str = "--kind"
    names: str = "--names"
    descriptions: str = "--descriptions"


FLAGS = Flags()  # of most commands


def table_targets(
    path: Path,
    column: str,
    id_column: str,
    keep: Sequence[str],
    names: str = "",
    descriptions: str = "",
    *,
    flags: Flags = FLAGS,
    several: bool = True,
) -> Targets:
    """Reads the targets of a table; the arguments are those of `read_targets`.

    Raises:
      UserError: there is no such column, the table is broken, or its further columns are too many or too large.
    """
    table = open_table(path, quoted=True, columns=[column, id_column, names, descriptions])
    column = text_column(path, table, column, flag=flags.column)
    id_column = _chosen(path, table, "id", id_column, flags.id_column)
    names = _chosen(path, table, "aliases", names, flags.names) if names else ""
    descriptions = _chosen(path, table, "", descriptions, flags.descriptions) if descriptions else ""
    taken = {column: "texts", id_column: "ids"}
    for option, chosen in ((flags.names, names), (flags.descriptions, descriptions)):
        if chosen and taken.setdefault(chosen, option) != option:
            raise UserError(
                f"{path}: {option} names the column {chosen!r}, which is that of {taken[chosen]} already. Name another "
                f"column, or leave {option} out."
            )
    columns = list(dict.fromkeys(filter(None, (column, id_column, names, descriptions))))
    distinct: dict[str, dict[str, str]]  # values of the further columns, each held once
    distinct = {name: {} for name in _further(path, [name for name in table.columns if name not in columns], keep)}
    broken, rows, nested, characters, without = Problems(str(path)), [], set(), 0, 0
    for place, row in table_rows(path, [*columns, *distinct], broken):
        text = normalise(row[column]) if isinstance(row[column], str) else ""
        if not text:
            broken.add(place, f"{column} {shorten(str(row[column]))}", "a text")
            continue
        further = split_list(row[names], commas=False) if names else []
        if further is None:
            broken.add(place, f"{names} {shorten(str(row[names]))}", TYPES["list"])
            continue
        description = row[descriptions] if descriptions else ""
        if not isinstance(description, str | None):
            broken.add(place, f"{descriptions} {shorten(str(description))}", "a text")
            continue
        values = []
        for name, known in distinct.items():
            value = _as_text(row[name])
            if value is None:
                nested.add(name)
            characters += 0 if value in known else len(value or "")
            values.append(known.setdefault(value or "", value or ""))
        if characters > _MOST_CHARACTERS:
            longest = max(distinct, key=lambda name: sum(map(len, distinct[name])))
            raise UserError(
                f"The columns of {path} besides those of text and id have more than {_MOST_CHARACTERS:,} characters, "
                f"most of them in {longest}. Name those to keep, each with --keep; --keep '' keeps none."
            )
        number = _id_of(row.get(id_column), place, broken)
        without += not number
        others = [*map(Name, map(normalise, further)), Name(normalise(description or ""), DESCRIPTION)]
        rows.append(Row(number or text, text, tuple(values), tuple(name for name in others if name.text)))
    broken.check()
    if not rows and not is_text_list(path):
        raise UserError(f"{path} has the columns {', '.join(table.columns)} and no row below them. {EXPECTED}")
    shown = {place: name for place, name in enumerate(distinct) if name not in nested}
    if nested:
        rows = [row._replace(values=tuple(row.values[place] for place in shown)) for row in rows]
    notes = noted(len(nested), "column", f"of lists or objects left out ({', '.join(sorted(nested))})")
    notes += noted_of(without % len(rows) if rows else 0, len(rows), "row", "without an id; the text is the id")
    unused = [name for name in table.columns if name not in columns]
    if not id_column and unused:
        notes.append(f"no column of ids: the texts are the ids ({flags.id_column} names one)")
    if several and not names and (like := [each for each in unused if named_columns([each], ["aliases"])]):
        notes.append(f"the column {like[0]} is not read as further names ({flags.names} {shlex.quote(like[0])} does)")
    origin = str(path) if is_text_list(path) else f"{path}, column {column}"
    return Targets.of(origin, rows, list(shown.values()), notes, several=several)


def read_ids(path: Path | str, id_column: str = "") -> list[str]:
    """Reads the distinct ids in a file: of a table's column, or one per line of a .txt.

    Raises:
      UserError: there is no such file or column, or it holds no id.
    """
    path = Path(path).expanduser()
    check_file(path)
    table = open_table(path, quoted=True, columns=[id_column])
    column = table.columns[0] if is_text_list(path) else _chosen(path, table, "id", id_column, FLAGS.id_column)
    if not column:
        raise _no_column(path, table, "id", FLAGS.id_column)
    broken = Problems(str(path))
    found = [_id_of(row[column], place, broken) for place, row in table_rows(path, [column], broken)]
    broken.check()
    ids = list(dict.fromkeys(filter(None, found)))
    if not ids:
        raise UserError(f"{path} holds no id. Expected one per line, or a column of ids.")
    return ids


def check_file(path: Path) -> None:
    """Raises UserError unless there is a file of texts."""
    if not path.is_file():
        if path.exists() and not path.is_dir():
            raise UserError(f"{path} is a pipe or a device. Write what it gives to a file, and name that. {EXPECTED}")
        raise UserError(f"There is no {path}. {EXPECTED}")
    if not is_text_list(path) and not table_format(path):
        raise UserError(f"{path} is in no supported format. {EXPECTED}")


def text_column(path: Path, table: Table, column: str = "", role: str = "target", flag: str = FLAGS.column) -> str:
    """Returns the column of a table that holds the texts.

    Without a name it is one of `NAMES` for the role, target or query, or the only one in a format with column names.

    Raises:
      UserError: there is no such column, or it cannot be determined.
    """
    chosen = _chosen(path, table, role, column, flag)
    if chosen:
        return chosen
    if len(table.columns) > 1 or not table.columns:
        raise _no_column(path, table, role, flag)
    (only,) = table.columns
    if not table.named:
        raise UserError(
            f"{path} has one column, and its first row, {shorten(only)}, is not one of the known names "
            f"({', '.join(NAMES[role])}), so it may be a text. If it is one, name the column by its number, "
            f"{flag} 1, or add a row above it. If it is a name, pass it as {flag} {shlex.quote(only)}."
        )
    return only


def _further(path: Path, others: Sequence[str], keep: Sequence[str]) -> list[str]:
    """Returns the names of the columns to keep, of the others than those of text and id; see `read_targets`."""
    fit = [name for name in dict.fromkeys(others) if 0 < len(name) <= MAX_NAME]
    for name in filter(None, keep):
        check_column(name, fit)
    names = [name for name in fit if not keep or name in keep]
    if len(names) > MAX_COLUMNS:
        raise UserError(
            f"{path} has {len(names)} columns besides those of text and id; at most {MAX_COLUMNS} are kept. "
            "Name those to keep, each with --keep; --keep '' keeps none."
        )
    return names


def _chosen(path: Path, table: Table, role: str, column: str, flag: str) -> str:
    """Returns the column of a role, by `column` or by the known names; "" where there is none."""
    same = same_names(table.columns, column)
    if column and not same:
        raise UserError(
            f"{path} has no column {column!r}.{did_you_mean(column, table.columns)} Its columns: "
            f"{', '.join(table.columns) or 'none'}. Name one of these with {flag}."
        )
    return same[0] if column else named_columns(table.columns, [role], str(path)).get(role, "")


def _no_column(path: Path, table: Table, role: str, flag: str) -> UserError:
    broken = Problems(str(path))
    if not table.columns and next(table.rows(WHOLE, NAMES[role][:1], broken), None) is None:
        broken.check()
        return UserError(f"{path} holds no row. {EXPECTED}")
    names = ", ".join(table.columns) or "none"
    return UserError(
        f"{path} has no column called {' or '.join(NAMES[role])}. Its columns: {names}. Use {flag} NAME, or "
        f"{flag} NUMBER where the first row is data: 1 is the first column."
    )


def _id_of(value: object, place: str, broken: Problems) -> str:
    number = id_text(value)
    if number is None:
        broken.add(place, f"id {shorten(str(value))}", TYPES["id"])
    return number or ""


def _as_text(value: object) -> str | None:
    """Converts a value to text; None for a list, an object or bytes.

    >>> [_as_text(value) for value in (" a  b", 3, 0.5, True, None, [1])]
    ['a b', '3', '0.5', 'true', '', None]
    """
    if value is None or value != value:  # some libraries write a missing value as NaN
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return None if isinstance(value, list | dict | bytes) else normalise(str(value))
