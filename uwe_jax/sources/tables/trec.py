"""Reads the lines of TREC files, qrels and runs: fields between tabs or white space, without a header."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from uwe_jax.sources.tables.lines import TextFile
from uwe_jax.sources.tables.problems import BrokenRows

QRELS = ("query", "iteration", "document", "grade")
RUN = ("query", "Q0", "document", "rank", "score", "tag")


def fields_of(text: str, fields: Sequence[str]) -> list[str] | None:
    """Splits a line at tabs, so that ids may hold spaces, else at white space; None if it has other fields.

    >>> fields_of("q1 0 d1 2", QRELS), fields_of("q 1\\t0\\td 1\\t2", QRELS), fields_of("q1 d1 2", QRELS)
    (['q1', '0', 'd1', '2'], ['q 1', '0', 'd 1', '2'], None)
    """
    parts = [each.strip() for each in text.split("\t")]
    parts = parts if len(parts) == len(fields) else text.split()
    return parts if len(parts) == len(fields) and all(parts) else None


def trec_rows(path: Path, name: str, fields: Sequence[str], problems: BrokenRows) -> Iterator[tuple[int, list[str]]]:
    """Yields the number of each line that is not blank, and its fields.

    Args:
      name: of the file, for messages.
      fields: their names, such as `QRELS`.
      problems: takes an entry for every line that has other fields.
    """
    for line in TextFile(name, path).lines():
        if not line.fault and not line.text.strip():
            continue
        found = None if line.fault else fields_of(line.text, fields)
        if found is None:
            broken = line.fault or f"{len(line.text.split())} fields"
            expected = f"{len(fields)} fields, between tabs or spaces: {' '.join(fields)}"
            problems.add(f"{name}, line {line.number}", broken, "UTF-8 text" if line.fault else expected)
        else:
            yield line.number, found
