"""Sections of a description: sentences and tables, rendered as Markdown and for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from uwe_jax.runtime.markdown import escape, markdown_rows
from uwe_jax.runtime.text_table import narrow_tables
from uwe_jax.scoring.statistics import fixed_sample
from uwe_jax.sources.tables.problems import shorten

T = TypeVar("T")
_QUOTED = 80  # characters of a quoted text


@dataclass(frozen=True)
class Grid:
    """A table of cells as plain text."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]  # each with a cell per column
    left: tuple[int, ...] = (0,)  # positions of the columns of texts; numbers are aligned to the right
    page_only: bool = False  # not shown in a terminal

    def markdown(self) -> str:
        """Renders all rows."""
        rows = [[escape(cell) for cell in row] for row in self.rows]
        return markdown_rows([escape(name) for name in self.header], rows, left=self.left)

    def terminal(self) -> str:
        """Renders all rows for a terminal; texts and headers are wrapped, numbers are not."""
        return narrow_tables(self.header, self.rows, self.left)


@dataclass(frozen=True)
class Section:
    """A title over sentences, tables, and further remarks; whatever is empty is left out."""

    title: str
    intro: Sequence[str] = ()
    grids: Sequence[Grid] = ()
    notes: Sequence[str] = ()

    def markdown(self) -> str:
        """Renders the section for the page."""
        parts = [f"## {escape(self.title)}", *map(escape, self.intro)]
        parts += [grid.markdown() for grid in self.grids if grid.rows]
        if self.notes:
            parts.append("\n".join(f"- {escape(note)}" for note in self.notes))
        return "\n\n".join(parts)

    def terminal(self) -> str:
        """Renders the section as lines of text."""
        tables = [grid.terminal() for grid in self.grids if grid.rows and not grid.page_only]
        line = "-" * len(self.title)
        return "\n".join([self.title, line, *self.intro, *tables, *(f"- {note}" for note in self.notes)])


def examples(found: Sequence[T], most: int = 5) -> list[T]:
    """Draws some of those found, the same ones every time."""
    return [found[place] for place in fixed_sample(len(found), most)]


def listed(texts: Iterable[str], between: str = ", ") -> str:
    """Joins several texts for one cell, each in quotes, with invisible characters escaped, and shortened.

    >>> print(listed(["welding", "it's"], " = "))
    'welding' = "it's"
    """
    return between.join(shorten(text, _QUOTED) for text in texts)


def percent(part: float, whole: float) -> str:
    """Formats a share; less than all never reads as 100 %, nor more than nothing as 0 %.

    >>> percent(1, 3), percent(1, 90_000), percent(89_999, 90_000), percent(0, 5), percent(0, 0)
    ('33.3 %', '0.01 %', '99.9 %', '0.0 %', '-')
    """
    if not whole:
        return "-"
    share = 100 * part / whole
    if 0 < share < 0.1:
        return f"{max(share, 0.01):.2f} %"
    return f"{min(share, 99.9) if part < whole else share:.1f} %"


def with_share(part: int, whole: int) -> str:
    """Formats a count with its share of a whole."""
    return f"{part:,} ({percent(part, whole)})"


def sampled(found: Mapping[str, Any]) -> list[str]:
    """Notes on the kinds of nodes of which only a random sample was examined: looked_at, of how many."""
    return [
        f"A random sample of {each['looked_at']:,} of {each['of']:,} {kind} texts was examined."
        for kind, each in found.items()
        if each["looked_at"] < each["of"]
    ]
