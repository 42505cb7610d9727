"""Results of a benchmark: rows of numbers, as tables and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from uwe_jax.runtime.text_table import narrow_tables
from uwe_jax.studies.benchmarks.device import header

Row = dict[str, Any]
_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_WIDTH = 80


class Column(NamedTuple):
    """A column of the tables: its title, its key in the rows, and its format."""

    title: str
    key: str
    show: Callable[[Any], str] = str


@dataclass(frozen=True)
class Outcome:
    """A finished benchmark."""

    title: str
    facts: dict[str, Any]  # from `device.facts`
    settings: dict[str, Any]  # every option by name
    labels: tuple[Column, ...]  # which name the rows; in every table
    columns: tuple[Column, ...]  # spread over tables of 80 characters
    rows: list[Row]  # all numbers, as JSON values
    notes: list[str]  # on how it was measured

    def text(self) -> str:
        """Renders facts, tables and notes, at most 80 characters wide."""
        columns = (*self.labels, *self.columns)
        cells = [
            ["" if (value := row.get(key)) is None else show(value) for _, key, show in columns] for row in self.rows
        ]
        tables = narrow_tables([column.title for column in columns], cells, len(self.labels), _WIDTH)
        notes = [textwrap.fill(f"- {note}", _WIDTH, subsequent_indent="  ") for note in self.notes]
        about = [textwrap.fill(line, _WIDTH) for line in (*header(self.facts), "", self.title)]
        return "\n".join([*about, tables, *notes])

    def to_dict(self) -> dict[str, Any]:
        """Returns the whole outcome as JSON values."""
        return {name: getattr(self, name) for name in ("facts", "settings", "rows", "notes")}


# Formats of columns.
whole = "{:,}".format


def significant(value: float) -> str:
    """Formats three significant digits, without an exponent.

    >>> significant(0.01234), significant(12.34), significant(12345.6), significant(0)
    ('0.0123', '12.3', '12,346', '0.00')
    """
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    return f"{value:#.3g}" if abs(value) >= 1e-4 or not value else f"{value:.1e}"


def scaled(value: float) -> str:
    """Formats with a decimal prefix.

    >>> scaled(1.234e11), scaled(12.0)
    ('123 G', '12.0')
    """
    size, prefix = next(((size, prefix) for size, prefix in _UNITS if value >= size), (1.0, ""))
    return f"{significant(value / size)} {prefix}".rstrip()


def in_mebibytes(value: float) -> str:
    """Formats bytes in MiB, without the unit."""
    return significant(value / 2**20)


def peak(value: Mapping[str, int | bool]) -> str:
    """Formats a `memory.Peak` in MiB, without the unit.

    >>> peak({"bytes": 3 * 2**20, "bound": True})
    '≤ 3.00'
    """
    return ("≤ " if value["bound"] else "") + in_mebibytes(value["bytes"])


def milliseconds(seconds: Mapping[str, float]) -> str:
    """Formats `timing.spread` in ms: the median, and the fastest and the slowest run.

    >>> milliseconds({"median": 0.0123, "low": 0.0119, "high": 0.025})
    '12.3 (11.9..25.0)'
    """
    median, low, high = (significant(1e3 * seconds[key]) for key in ("median", "low", "high"))
    return f"{median} ({low}..{high})"


def times(value: float) -> str:
    """Formats a ratio."""
    return f"{significant(value)} x"
