"""Renders tables as text for terminals and logs, and as HTML for notebooks."""

from __future__ import annotations

import html
import io
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from uwe_jax.runtime.printable import printable

# Wide enough for every table: a terminal that is not wraps lines, a cut number would be lost.
_WIDTH = 240


class _PlainConsole(Console):
    """A console that escapes every cell before it measures it, so that columns stay in line."""

    def render_str(self, text: str, **settings: Any) -> Text:
        return super().render_str(printable(text), **settings)


def render_table(table: Table, width: int = _WIDTH) -> str:
    """Renders a table as lines of text; markup and control characters in its cells are shown as they are.

    Args:
      table: of texts.
      width: characters of a line at most.
    """
    buffer = io.StringIO()
    # Colours would be escaped by who prints the lines.
    console = _PlainConsole(
        file=buffer,
        width=width,
        markup=False,
        highlight=False,
        emoji=False,
        force_terminal=False,
        color_system=None,
    )
    console.print(table)
    return "\n".join(line.rstrip() for line in buffer.getvalue().rstrip().splitlines())


def html_table(table: Table) -> str:
    """Renders a table of texts as HTML; markup and control characters in its cells are shown as they are."""
    sides = ["right" if column.justify == "right" else "left" for column in table.columns]

    def row(tag: str, cells: Iterable[Any]) -> str:
        shown = zip(sides, cells, strict=True)
        inside = (
            f'<{tag} style="text-align:{side}">{html.escape(printable(str(cell)))}</{tag}>' for side, cell in shown
        )
        return f"<tr>{''.join(inside)}</tr>"

    caption = f"<caption>{html.escape(printable(str(table.title)))}</caption>" if table.title else ""
    head = row("th", (column.header for column in table.columns))
    body = "".join(row("td", cells) for cells in zip(*(column.cells for column in table.columns), strict=True))
    return f"<table>{caption}<thead>{head}</thead><tbody>{body}</tbody></table>"
