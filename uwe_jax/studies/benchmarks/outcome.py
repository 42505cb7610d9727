"""What a benchmark leaves behind: rows of numbers, once as a table for a person and once as JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rich.table import Table

from uwe_jax.runtime.text_table import render_table
from uwe_jax.studies.benchmarks.device import header

Row = dict[str, Any]


class Column(NamedTuple):
    """A column of the table: its title, the key of the rows that it shows, and how it shows it."""

    title: str
    key: str
    show: Callable[[Any], str] = str


@dataclass(frozen=True)
class Outcome:
    """A finished benchmark.

    Attributes:
      mode: scoring, training or pipeline.
      title: of the table.
      facts: where it ran, from `device.facts`.
      settings: every option by name.
      columns: what the table shows of the rows.
      rows: all numbers, JSON values.
      notes: sentences below the table, how something was measured or why it was not.
    """

    mode: str
    title: str
    facts: dict[str, Any]
    settings: dict[str, Any]
    columns: tuple[Column, ...]
    rows: list[Row]
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Header, table and notes."""
        table = Table(title=self.title, title_justify="left", title_style="bold")
        shown = [column for column in self.columns if any(row.get(column.key) is not None for row in self.rows)]
        for column in shown:
            table.add_column(column.title, justify="left" if column.show is str else "right", no_wrap=True)
        for row in self.rows:
            table.add_row(*("" if (value := row.get(key)) is None else show(value) for _, key, show in shown))
        lines = [
            header(self.facts),
            "",
            render_table(table),
            *(f"- {note}" for note in self.notes),
        ]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The whole outcome as JSON values."""
        return {
            "benchmark": self.mode,
            "facts": self.facts,
            "settings": self.settings,
            "rows": self.rows,
            "notes": self.notes,
        }
