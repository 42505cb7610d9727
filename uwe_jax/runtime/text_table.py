"""Renders tables as text for terminals and logs, and as HTML for notebooks."""

from __future__ import annotations

import html
import io
from collections.abc import Iterable, Sequence
from typing import Any

from rich.cells import cell_len
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


def narrow_tables(header: Sequence[str], rows: Sequence[Sequence[str]], labels: int, width: int = 80) -> str:
    """Renders rows of texts as tables of at most `width` characters, one below the other.

    Each has the first `labels` columns, aligned left, and as many of the others as fit and share a row with its first
    one. Rows and columns without any text are left out.
    """

    def used(columns: Sequence[int]) -> int:
        texts = [[header[k].splitlines(), *(row[k].splitlines() for row in rows)] for k in columns]
        return 1 + sum(3 + max(cell_len(printable(line)) for lines in column for line in lines) for column in texts)

    groups: list[list[int]] = []
    for k in range(labels, len(header)):
        related = groups and any(row[groups[-1][0]] and row[k] for row in rows)
        if related and used([*range(labels), *groups[-1], k]) <= width:
            groups[-1].append(k)
        else:
            groups.append([k])
    tables = []
    for group in groups:
        kept = [row for row in rows if any(row[k] for k in group)]
        shown = [k for k in (*range(labels), *group) if any(row[k] for row in kept)]
        table = Table()
        for k in shown:
            table.add_column(header[k], justify="left" if k < labels else "right", no_wrap=k >= labels, overflow="fold")
        for row in kept:
            table.add_row(*(row[k] for k in shown))
        if shown:
            tables.append(render_table(table, width))
    return "\n".join(tables)


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
