"""Lists of texts written into one cell of a table, as Python or JSON writes them."""

from __future__ import annotations

import ast
import warnings


def parse_texts(cell: str) -> list[str] | None:
    """The texts of a cell; None where it is no list of texts.

    >>> parse_texts("['C#', \\"manage a chef's team\\"]")
    ['C#', "manage a chef's team"]
    >>> parse_texts("[1]") is None
    True
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a backslash in a label, which Python takes for a mistake
            value = ast.literal_eval(cell.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return value if isinstance(value, list) and all(isinstance(text, str) for text in value) else None
