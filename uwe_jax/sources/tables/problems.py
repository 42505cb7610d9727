"""Broken rows of tables: the first few are shown, all of them are counted."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.progress import counted

_SHOWN = 5


@dataclass
class BrokenRows:
    """Rows that could not be read and are left out, as long as they are few."""

    count: int = 0
    shown: list[str] = field(default_factory=list)

    def add(self, place: str, found: str, expected: str) -> None:
        """Adds a broken row; `place` is its file and line."""
        self.count += 1
        if len(self.shown) < _SHOWN:
            self.shown.append(f"{place}: found {found}; expected {expected}")

    def merge(self, other: BrokenRows) -> None:
        self.count += other.count
        self.shown = [*self.shown, *other.shown][:_SHOWN]

    def error(self, source: str, rest: str) -> UserError:
        """Returns the error: the number of broken rows of a source, the first of them, and `rest`."""
        more = [f"and {self.count - len(self.shown):,} more"] if self.count > len(self.shown) else []
        rows = f"{counted(self.count, 'broken row')} in {source}:"
        return UserError("\n  ".join([rows, *self.shown, *more]) + f"\n{rest}")

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, from which `BrokenRows(**values)` is re-created."""
        return asdict(self)


class Problems(BrokenRows):
    """Broken rows of a source, the user's folder or file, of which nothing is read unless all rows are valid."""

    def __init__(self, source: str):
        super().__init__()
        self._source = source

    def check(self) -> None:
        """Raises UserError if there is a broken row."""
        if self.count:
            raise self.error(self._source, "Nothing was read. Correct these rows and run again.")


def shorten(text: str, length: int = 60) -> str:
    """Quotes a text for a message, truncated if it is long."""
    return repr(text if len(text) <= length else text[:length] + "...")
