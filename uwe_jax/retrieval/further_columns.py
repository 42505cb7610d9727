"""Columns of a table of targets besides those of text and id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from uwe_jax.data.text import normalise
from uwe_jax.retrieval.store.columns import MAX_COLUMNS, MAX_NAME, check_column
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.notes import counted

_MOST_CHARACTERS = 1 << 28  # of distinct values; names and numbers to show and filter by, not documents


class FurtherColumns:
    """Collects columns `names` of a table row by row; each distinct value is held once.

    Args:
      path: of the table.
      known: its columns besides those of text and id.
      keep: columns to keep; empty for all, and only an empty name for none.

    Raises:
      UserError: the table has no such column, or too many.
    """

    def __init__(self, path: Path, known: Iterable[str], keep: Sequence[str] = ()):
        fit = [name for name in dict.fromkeys(known) if 0 < len(name) <= MAX_NAME]
        for name in filter(None, keep):
            check_column(name, fit)
        self.names = [name for name in fit if not keep or name in keep]
        if len(self.names) > MAX_COLUMNS:
            raise UserError(
                f"{path} has {len(self.names)} columns besides those of text and id; at most {MAX_COLUMNS} are kept. "
                "Name those to keep, each with --keep; --keep '' keeps none."
            )
        self._path = path
        self._values: dict[str, list[str]] = {name: [] for name in self.names}
        self._distinct: dict[str, dict[str, str]] = {name: {} for name in self.names}
        self._nested: set[str] = set()
        self._characters = 0

    def add(self, row: Mapping[str, object]) -> None:
        """Adds the values of a row.

        Raises:
          UserError: the distinct values are too many or too long.
        """
        for name in self.names:
            text = _as_text(row.get(name))
            if text is None:
                self._nested.add(name)
                text = ""
            known = self._distinct[name]
            if text not in known:
                self._characters += len(text)
            self._values[name].append(known.setdefault(text, text))
        if self._characters > _MOST_CHARACTERS:
            longest = max(self.names, key=lambda name: sum(map(len, self._distinct[name])))
            raise UserError(
                f"The columns of {self._path} besides those of text and id have more than {_MOST_CHARACTERS:,} "
                f"characters, most of them in {longest}. Name those to keep, each with --keep; --keep '' keeps none."
            )

    def equal(self, row: int, other: int) -> bool:
        """Returns whether two rows have the same values."""
        return all(values[row] == values[other] for values in self._values.values())

    def of_rows(self, rows: Iterable[int]) -> dict[str, tuple[str, ...]]:
        """Returns the values of rows, without columns of lists and objects."""
        listed = list(rows)
        scalar = {name: values for name, values in self._values.items() if name not in self._nested}
        return {name: tuple(values[row] for row in listed) for name, values in scalar.items()}

    @property
    def notes(self) -> list[str]:
        """Columns that were left out."""
        return counted(len(self._nested), f"columns of lists or objects left out ({', '.join(sorted(self._nested))})")


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
