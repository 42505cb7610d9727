"""A piece of a description: sentences and tables, once as Markdown and once for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.table import Table

from uwe_jax.runtime.markdown import escape, markdown_rows
from uwe_jax.runtime.text_table import drawn
from uwe_jax.sources.tables.problems import shorten

# Characters of a quoted text, and of one among several; a terminal folds a cell into lines of so many.
_QUOTED, _QUOTED_BRIEFLY, _FOLDED = 300, 80, 72


@dataclass(frozen=True)
class Grid:
    """A table of cells as plain text.

    Attributes:
      header: names of the columns.
      rows: each with a cell per column.
      left: positions of the columns of texts; numbers stand to the right.
      brief: rows that a terminal is shown; None shows all, 0 leaves the table to the page.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: tuple[int, ...] = (0,)
    brief: int | None = None

    def markdown(self) -> str:
        """The table with all its rows."""
        rows = [[escape(cell) for cell in row] for row in self.rows]
        return markdown_rows([escape(name) for name in self.header], rows, left=self.left)

    def terminal(self) -> str:
        """The table as lines of text."""
        table = Table()
        for place, name in enumerate(self.header):
            text = place in self.left
            table.add_column(
                name,
                justify="left" if text else "right",
                no_wrap=not text,
                overflow="fold",
                max_width=_FOLDED if text else None,
            )
        for row in self.rows[: self.brief]:
            table.add_row(*row)
        return drawn(table)


@dataclass(frozen=True)
class Section:
    """A title over sentences, tables, and further remarks; whatever is empty is left out."""

    title: str
    intro: Sequence[str] = ()
    grids: Sequence[Grid] = ()
    notes: Sequence[str] = ()

    def markdown(self) -> str:
        """The section of a page."""
        parts = [f"## {escape(self.title)}", *map(escape, self.intro)]
        parts += [grid.markdown() for grid in self.grids if grid.rows]
        if self.notes:
            parts.append("\n".join(f"- {escape(note)}" for note in self.notes))
        return "\n\n".join(parts)

    def terminal(self) -> str:
        """The section as lines of text."""
        tables = [grid.terminal() for grid in self.grids if grid.rows and grid.brief != 0]
        line = "-" * len(self.title)
        return "\n".join([self.title, line, *self.intro, *tables, *(f"- {note}" for note in self.notes)])


def quoted(text: str) -> str:
    """A text as tables and sentences show it: in quotes, its invisible characters spelt out, cut where it is long."""
    return shorten(text, _QUOTED)


def listed(texts: Iterable[str], between: str = ", ") -> str:
    """Several texts in one cell, each `quoted` and cut earlier.

    >>> print(listed(["welding", "it's"], " = "))
    'welding' = "it's"
    """
    return between.join(shorten(text, _QUOTED_BRIEFLY) for text in texts)


def percent(part: float, whole: float) -> str:
    """A share of a whole as tables show it; what is not all does not read as all, nor something as nothing.

    >>> percent(1, 3), percent(1, 90_000), percent(89_999, 90_000), percent(0, 5), percent(0, 0)
    ('33.3 %', '0.01 %', '99.9 %', '0.0 %', '-')
    """
    if not whole:
        return "-"
    share = 100 * part / whole
    if 0 < share < 0.1:
        return f"{max(share, 0.01):.2f} %"
    return f"{min(share, 99.9) if part < whole else share:.1f} %"
