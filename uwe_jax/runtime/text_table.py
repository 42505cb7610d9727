"""Renders tables as text for terminals and logs, and as HTML for notebooks."""

from __future__ import annotations

import copy
import html
import io
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from uwe_jax.runtime.printable import printable

# Wide enough for every table: a narrower terminal wraps lines, whereas a truncated number would be lost.
_WIDTH = 240
_LABEL, _TEXT = 26, 13  # characters of a row's name, and of another text or a header, that are not wrapped


class _PlainConsole(Console):
    """A console that escapes cells before it measures them, so that columns stay aligned."""

    def render_str(self, text: str, **settings: Any) -> Text:
        return super().render_str(printable(text), **settings)


def render_table(table: Table, width: int = _WIDTH) -> str:
    """Renders a table of texts as lines of at most `width` characters below its title, whose lines are kept.

    Markup in its cells is shown as it is.
    """
    buffer, untitled = io.StringIO(), copy.copy(table)
    untitled.title = None  # the console would wrap it at the width of the columns
    plain: dict[str, Any] = dict.fromkeys(("markup", "highlight", "emoji", "force_terminal"), False)
    _PlainConsole(file=buffer, width=width, color_system=None, **plain).print(untitled)
    title = [printable(str(table.title))] if table.title else []
    return "\n".join([*title, *(line.rstrip() for line in buffer.getvalue().rstrip().splitlines())])


def narrow_tables(
    header: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,), width: int = 80
) -> str:
    """Renders rows of texts as tables of at most `width` characters, one below the other.

    Columns at the places `left` hold texts, which are wrapped; others hold numbers, which are not. Each table has the
    texts before the first numbers (the first column if all are texts), and as many of the other columns as fit and
    share a row with its first one. Rows and columns without any text are left out.
    """
    labels = next((k for k in range(len(header)) if k not in left), min(1, len(header) - 1))
    titles, needed = [], []
    for k, name in enumerate(header):
        longest = max((cell_len(printable(line)) for row in rows for line in row[k].splitlines()), default=0)
        lines = textwrap.wrap(name, max(_TEXT, longest), break_long_words=False)
        titles.append("\n".join(lines))
        most = _LABEL if k < labels else _TEXT if k in left else width // 2
        needed.append(min(max(longest, 0, *map(cell_len, lines)), most))
    groups: list[list[int]] = []
    for k in range(labels, len(header)):
        related = groups and any(row[groups[-1][0]] and row[k] for row in rows)
        if related and 1 + sum(3 + needed[j] for j in (*range(labels), *groups[-1], k)) <= width:
            groups[-1].append(k)
        else:
            groups.append([k])
    tables = []
    for group in groups:
        kept = [row for row in rows if any(row[k] for k in group)]
        shown = [k for k in (*range(labels), *group) if any(row[k] for row in kept)]
        table = Table()
        for k in shown:
            whole = k not in left and needed[k] < width // 2
            table.add_column(titles[k], justify="left" if k in left else "right", no_wrap=whole, overflow="fold")
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
