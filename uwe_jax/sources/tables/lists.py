"""Lists of texts in one cell of a table."""

from __future__ import annotations

import ast
import json
import re
import warnings

_MARKS = re.compile(r"[;|\n]")


def split_list(cell: object, *, commas: bool = True) -> list[str] | None:
    """The texts of a cell: a list, a list as JSON or Python write it, or texts between semicolons, bars or line breaks.

    Args:
      cell: as a file has it; None and empty text are an empty list.
      commas: separate texts where nothing else does.

    Returns:
      The texts stripped, without empty ones; None where the cell holds no texts.

    >>> split_list("Python; SQL | weld metal"), split_list('["C#", "plan shifts"]'), split_list("Python, SQL")
    (['Python', 'SQL', 'weld metal'], ['C#', 'plan shifts'], ['Python', 'SQL'])
    >>> split_list(["Python; SQL"]), split_list("install, test and repair pumps", commas=False), split_list(7)
    (['Python; SQL'], ['install, test and repair pumps'], None)
    """
    if cell is None:
        return []
    if isinstance(cell, str):
        text = cell.strip()
        written = written_list(text) if text.startswith("[") and text.endswith("]") else None
        if written is not None:
            cell = written
        else:
            cell = _MARKS.split(text) if _MARKS.search(text) or not commas else text.split(",")
    if not isinstance(cell, list) or not all(isinstance(each, str) for each in cell):
        return None
    return [stripped for each in cell if (stripped := each.strip())]


def written_list(text: str) -> object:
    """What a text says that was written as JSON or Python write values; None where it says no such thing.

    >>> written_list("['C#', \\"manage a chef's team\\"]"), written_list("weld metal")
    (['C#', "manage a chef's team"], None)
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a backslash in a label, which Python takes for a mistake
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
