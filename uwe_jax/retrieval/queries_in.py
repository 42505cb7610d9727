"""Sources of queries: the command line, a column of a table, or lines of a file or a pipe, as they come.

A query that cannot be answered is reported in its place, and the others are answered.
"""

from __future__ import annotations

import itertools
import os
import select
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from uwe_jax.retrieval.limits import MAX_CHARACTERS, accepted, too_long
from uwe_jax.retrieval.texts_in import text_column
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.tables.formats import EXPECTED_FORMATS, table_format
from uwe_jax.sources.tables.lines import TextFile
from uwe_jax.sources.tables.problems import BrokenRows, shorten
from uwe_jax.sources.tables.reading import table_rows

BATCH = 256  # queries that are answered at once
_READ = 1 << 16  # bytes, the capacity of a pipe
_MOST_BYTES = 4 * MAX_CHARACTERS  # of UTF-8: a longer line has more characters than a query may have
_CONTINUATION = bytes(range(0x80, 0xC0))  # bytes of UTF-8 that begin no character
_BOM = b"\xef\xbb\xbf"


class Query(NamedTuple):
    """A query, or why it cannot be answered.

    Attributes:
      number: of the line, row or argument, from 1.
      text: normalised; "" where there is a problem.
      problem: an error message; "" where there is none.
    """

    number: int
    text: str
    problem: str = ""


def checked(number: int, text: str) -> Query:
    r"""Normalises the text of a query, or reports why it is refused.

    >>> checked(1, " head\tchef\n").text, checked(2, " \x00 ").problem.partition(";")[0]
    ('head chef', 'Query 2 is empty')
    """
    try:
        return Query(number, *accepted([text], "Query", number))
    except UserError as error:
        return Query(number, "", str(error))


def file_queries(path: Path, column: str = "") -> Iterator[Query | None]:
    """Reads the queries in a file: a column of a table, see `text_column`, or the lines of any other file.

    Raises:
      UserError: there is no such file or column, or, once it is read, it is damaged.
    """
    if not path.is_file():
        raise UserError(
            f"There is no file {path}. Expected queries, one per line, or a table in one of {EXPECTED_FORMATS}."
        )
    if table_format(path):
        return _table_queries(path, text_column(path, column, "query"))
    if column:
        raise UserError(f"{path} is not a table, so it has no column {column!r}. Expected one of {EXPECTED_FORMATS}.")
    return (
        Query(number, "", _undecodable(number, fault)) if fault else checked(number, text)
        for number, _, _, text, fault in TextFile(path.name, path).lines()
    )


def line_queries(descriptor: int) -> Iterator[Query | None]:
    """Yields the lines of a file or pipe as they come, each a query, holding at most one read and one query.

    Yields None when no further line has come yet, so that those before it can be answered.
    """
    line, number = _Line(), 0
    while chunk := os.read(descriptor, _READ):
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            number += 1
            line.add(part)
            yield line.query(number)
            line = _Line()
        line.add(rest)
        if not select.select([descriptor], [], [], 0)[0]:
            yield None
    if line.held:
        yield line.query(number + 1)


def batches(queries: Iterable[Query | None], most: int = BATCH) -> Iterator[list[Query]]:
    """Batches at most `most` queries, in their order; a batch ends where it would have to wait for more.

    >>> [[query.number for query in batch] for batch in batches([Query(1, "a"), None, None, Query(2, "b")])]
    [[1], [2]]
    """
    batch: list[Query] = []
    for query in queries:
        if query is not None:
            batch.append(query)
        if batch and (query is None or len(batch) == most):
            yield batch
            batch = []
    if batch:
        yield batch


class _Line:
    """A line that comes in chunks; of one that is too long, only enough to detect it is held."""

    def __init__(self) -> None:
        self.held = bytearray()
        self._characters = 0

    def add(self, chunk: bytes) -> None:
        self._characters += len(chunk.translate(None, _CONTINUATION))
        self.held += chunk[: max(0, _MOST_BYTES + 1 - len(self.held))]

    def query(self, number: int) -> Query:
        if len(self.held) > _MOST_BYTES:
            return Query(number, "", too_long("Query", number, self._characters))
        content = self.held.removeprefix(_BOM) if number == 1 else self.held
        try:
            return checked(number, content.decode())
        except UnicodeDecodeError as error:
            place = f"byte 0x{content[error.start]:02x} at position {error.start + 1}"
            return Query(number, "", _undecodable(number, place))


def _undecodable(number: int, place: str) -> str:
    return f"Query {number} is not UTF-8 text: {place}. Save it as UTF-8."


@dataclass
class _Waiting(BrokenRows):
    """Broken rows that were not reported yet."""

    rows: list[str] = field(default_factory=list)

    def add(self, place: str, found: str, expected: str) -> None:
        self.rows.append(f"{place}: found {found}; expected {expected}.")


def _table_queries(path: Path, column: str) -> Iterator[Query]:
    broken, numbers = _Waiting(), itertools.count(1)

    def unread() -> Iterator[Query]:
        while broken.rows:
            number = next(numbers)
            yield Query(number, "", f"Query {number} cannot be read: {broken.rows.pop(0)}")

    for place, row in table_rows(path, [column], broken):
        value = row[column]
        if value is not None and not isinstance(value, str):
            broken.add(place, shorten(str(value)), "a text")
        yield from unread()
        if value is None or isinstance(value, str):
            yield checked(next(numbers), value or "")
    yield from unread()
