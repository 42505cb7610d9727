"""Markdown tables: escaping, rows, and the best value of a column in bold."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from uwe_jax.runtime.printable import printable

MISSING = "-"  # a cell without a value
# An underscore inside a word is not markup, and names of models are full of them.
_SPECIAL = re.compile(r"([\\`*\[\]<>#|~$&]|(?<![^\W_])_|_(?![^\W_]))")


def escape(text: str) -> str:
    r"""Escapes a text for a line or table cell of Markdown; runs of white space become one space.

    >>> print(escape("C|C++ *[junior]*"))
    C\|C++ \*\[junior\]\*
    """
    return _SPECIAL.sub(r"\\\1", printable(" ".join(text.split())))


def signed(value: float, digits: int = 1) -> str:
    """Formats a difference with its sign; what rounds to zero has a plus.

    >>> signed(-0.04), signed(-1.26), signed(1.255, 2)
    ('+0.0', '-1.3', '+1.25')
    """
    return f"{round(value, digits) + 0.0:+.{digits}f}"


def markdown_rows(header: Sequence[str], rows: Iterable[Sequence[str]], *, left: Collection[int] = (0,)) -> str:
    """Formats a table of cells that are Markdown already; columns not in `left` are right-aligned."""
    lines = [header, ["---" if place in left else "---:" for place in range(len(header))], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def bold_best(column: Sequence[float | None], *, competes: Sequence[bool] | None = None, digits: int = 2) -> list[str]:
    """Formats the numbers of a column as cells, with the highest (several, if they round to the same) in bold.

    Args:
      column: None for a missing value.
      competes: which values may be the best; all by default. With fewer than two of them none is bold.

    >>> bold_best([11.804, None, 40.2])
    ['11.80', '-', '**40.20**']
    """
    shown = [None if value is None else round(value, digits) for value in column]
    allowed = [True] * len(shown) if competes is None else competes
    rivals = [value for value, may in zip(shown, allowed, strict=True) if may and value is not None]
    best = max(rivals) if len(rivals) > 1 else None

    def cell(value: float | None, may: bool) -> str:
        if value is None:
            return MISSING
        return f"**{value:.{digits}f}**" if may and value == best else f"{value:.{digits}f}"

    return [cell(value, may) for value, may in zip(shown, allowed, strict=True)]
