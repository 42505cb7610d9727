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

# Wide enough for every table: a narrower terminal wraps lines, whereas a truncated number would be lost.
_WIDTH = 240


class _PlainConsole(Console):
    """A console that escapes cells before it measures them, so that columns stay aligned."""

    def render_str(self, text: str, **settings: Any) -> Text:
        return super().render_str(printable(text), **settings)


def render_table(table: Table, width: int = _WIDTH) -> str:
    """Renders a table of texts as lines of at most `width` characters; markup in its cells is shown as it is."""
    buffer = io.StringIO()
    plain: dict[str, Any] = dict.fromkeys(("markup", "highlight", "emoji", "force_terminal"), False)
    _PlainConsole(file=buffer, width=width, color_system=None, **plain).print(table)
    return "\n".join(line.rstrip() for line in buffer.getvalue().rstrip().splitlines())


def html_table(table: Table) -> str:
    """Renders a table of texts as HTML; markup in its cells is shown as it is."""
    sides = ["right" if column.justify == "right" else "left" for column in table.columns]

    def shown(text: Any) -> str:
        return html.escape(printable(str(text)))

    def row(tag: str, cells: Iterable[Any]) -> str:
        inside = (f'<{tag} style="text-align:{s}">{shown(cell)}</{tag}>' for s, cell in zip(sides, cells, strict=True))
        return f"<tr>{''.join(inside)}</tr>"

    caption = f"<caption>{shown(table.title)}</caption>" if table.title else ""
    head = row("th", (column.header for column in table.columns))
    body = "".join(row("td", cells) for cells in zip(*(column.cells for column in table.columns), strict=True))
    return f"<table>{caption}<thead>{head}</thead><tbody>{body}</tbody></table>"
