"""Answers written to a file: JSON lines, or a CSV with a row per hit."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from uwe_jax.retrieval.answers import Answer, json_line
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.folders import replacing

_FIELDS = ("number", "query", "index", "rank", "id", "text", "score")
_ERROR = "error"


@contextmanager
def answer_file(path: Path, columns: Sequence[str]) -> Iterator[Callable[[Answer], None]]:
    """Takes answers one by one; the file appears when all are in it, and replaces an earlier one.

    A row of a CSV is a hit with its further columns, called `columns.NAME` where the file has a column of that name, or
    an error with the number of its query. Numbers are those of lines, rows or arguments, ranks count from 1.

    Args:
      path: ends in .jsonl or .csv.
      columns: further columns of any index.

    Raises:
      UserError: the file cannot be written, or is a folder.
      OSError: the disk is full; an earlier file is as it was.
    """
    if path.is_dir():
        raise UserError(f"--out {path} is a folder. Name a file.")
    with (
        replacing(path, advice="name another file with --out") as new,
        new.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        if path.suffix.lower() == ".jsonl":
            yield lambda answer: print(json_line(answer), file=file)
            return
        writer = csv.writer(file, lineterminator="\n")
        own = (*_FIELDS, _ERROR)
        writer.writerow([*_FIELDS, *(f"columns.{name}" if name in own else name for name in columns), _ERROR])
        yield lambda answer: writer.writerows(_rows(answer, columns))


def _rows(answer: Answer, columns: Sequence[str]) -> Iterator[list[object]]:
    query = answer.query
    if query.problem:
        yield [query.number, *[""] * (len(_FIELDS) - 1 + len(columns)), query.problem]
    for name, hits in answer.hits.items():
        for place, hit in enumerate(hits, 1):
            plain = hit.to_dict()
            values = [hit.columns.get(column, "") for column in columns]
            yield [query.number, query.text, name, place, hit.id, hit.text, plain["score"], *values, ""]
