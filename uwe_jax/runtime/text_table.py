"""Renders tables as text for terminals and logs."""

from __future__ import annotations

import io

from rich.console import Console
from rich.table import Table

# Wide enough for every table: a terminal that is not wraps lines, a cut number would be lost.
_WIDTH = 240


def render_table(table: Table) -> str:
    """Renders a table as lines of text; markup in its cells is shown as it is."""
    buffer = io.StringIO()
    Console(file=buffer, width=_WIDTH, markup=False, highlight=False, emoji=False, force_terminal=False).print(table)
    return "\n".join(line.rstrip() for line in buffer.getvalue().rstrip().splitlines())
