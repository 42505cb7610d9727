"""Results of a benchmark: rows of numbers, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rich.table import Table

from uwe_jax.runtime.text_table import render_table
from uwe_jax.studies.benchmarks.device import header

Row = dict[str, Any]
_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


class Column(NamedTuple):
    """A column of the table: its title, its key in the rows, and its format."""

    title: str
    key: str
    show: Callable[[Any], str] = str


@dataclass(frozen=True)
class Outcome:
    """A finished benchmark."""

    mode: str  # scoring, rank, training or pipeline
    title: str  # of the table
    facts: dict[str, Any]  # from `device.facts`
    settings: dict[str, Any]  # every option by name
    columns: tuple[Column, ...]  # of the table; those without a value are left out
    rows: list[Row]  # all numbers, as JSON values
    notes: list[str] = field(default_factory=list)  # on how it was measured

    def text(self) -> str:
        """Renders header, table and notes."""
        table = Table(title=self.title, title_justify="left", title_style="bold")
        shown = [column for column in self.columns if any(row.get(column.key) is not None for row in self.rows)]
        for column in shown:
            table.add_column(column.title, justify="left" if column.show is str else "right", no_wrap=True)
        for row in self.rows:
            table.add_row(*("" if (value := row.get(key)) is None else show(value) for _, key, show in shown))
        return "\n".join([header(self.facts), "", render_table(table), *(f"- {note}" for note in self.notes)])

    def to_dict(self) -> dict[str, Any]:
        """Returns the whole outcome as JSON values."""
        names = ("facts", "settings", "rows", "notes")
        return {"benchmark": self.mode, **{name: getattr(self, name) for name in names}}


# Formats of columns.
whole = "{:,}".format


def significant(value: float) -> str:
    """Formats three significant digits, without an exponent.

    >>> significant(0.01234), significant(12.34), significant(12345.6)
    ('0.0123', '12.3', '12,346')
    """
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    return f"{value:#.3g}" if abs(value) >= 1e-4 else f"{value:.1e}"


def scaled(unit: str) -> Callable[[float], str]:
    """Returns a format with a decimal prefix.

    >>> scaled("FLOP/s")(1.234e11), scaled("B/s")(12.0)
    ('123 GFLOP/s', '12.0 B/s')
    """

    def show(value: float) -> str:
        size, prefix = next(((size, prefix) for size, prefix in _UNITS if value >= size), (1.0, ""))
        return f"{significant(value / size)} {prefix}{unit}".rstrip()

    return show


def mebibytes(value: float) -> str:
    """Formats bytes in MiB."""
    return f"{significant(value / 2**20)} MiB"


def peak(value: Mapping[str, int | bool]) -> str:
    """Formats `memory.Peak.to_dict` in MiB.

    >>> peak({"bytes": 3 * 2**20, "bound": True})
    '≤ 3.00 MiB'
    """
    return ("≤ " if value["bound"] else "") + mebibytes(value["bytes"])


def milliseconds(seconds: Mapping[str, float]) -> str:
    """Formats `Times.to_dict` in ms: the median, and the fastest and the slowest run.

    >>> milliseconds({"median": 0.0123, "low": 0.0119, "high": 0.025})
    '12.3 (11.9..25.0)'
    """
    median, low, high = (significant(1e3 * seconds[key]) for key in ("median", "low", "high"))
    return f"{median} ({low}..{high})"


def times(value: float) -> str:
    """Formats a ratio."""
    return f"{significant(value)} x"
