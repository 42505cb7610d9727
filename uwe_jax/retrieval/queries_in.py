"""Where queries come from: the command line, a column of a table, or lines of a file or a pipe, as they come.

A query that cannot be answered is told from the others and costs none of them.
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
from uwe_jax.sources.tables.chunks import table_rows
from uwe_jax.sources.tables.formats import EXPECTED_FORMATS, table_format
from uwe_jax.sources.tables.lines import TextFile
from uwe_jax.sources.tables.problems import BrokenRows, shorten

BATCH = 256  # queries that are answered at once
_READ = 1 << 16  # bytes, of what a pipe holds
_MOST_BYTES = 4 * MAX_CHARACTERS  # of UTF-8: a longer line has more characters than a query may have
_CONTINUATION = bytes(range(0x80, 0xC0))  # bytes of UTF-8 that begin no character
_BOM = b"\xef\xbb\xbf"


class Query(NamedTuple):
    """A query, or why it cannot be answered.

    Attributes:
      number: of the line, row or argument, from 1.
      text: normalised; "" where there is a problem.
      problem: in a sentence or two; "" where there is none.
    """

    number: int
    text: str
    problem: str = ""


def checked(number: int, text: str) -> Query:
    r"""A query as it was given: control characters and runs of white space become one space.

    >>> checked(1, " head\tchef\n").text, checked(2, " \x00 ").problem.partition(";")[0]
    ('head chef', 'Query 2 is empty')
    """
    try:
        return Query(number, *accepted([text], "Query", number))
    except UserError as error:
        return Query(number, "", str(error))


def given_queries(texts: Iterable[str]) -> Iterator[Query]:
    """The queries of a command line."""
    return (checked(number, text) for number, text in enumerate(texts, 1))


def file_queries(path: Path, column: str = "") -> Iterator[Query | None]:
    """The queries in a file: a column of a table, or the lines of any other.

    Args:
      column: of a table; see `text_column`.

    Raises:
      UserError: there is no such file or column, or, when its turn has come, it is damaged.
    """
    if not path.is_file():
        raise UserError(
            f"There is no file {path}. Expected queries, one per line, or a table in one of {EXPECTED_FORMATS}."
        )
    if table_format(path):
        return _table_queries(path, text_column(path, column, "query"))
    if column:
        raise UserError(f"{path} is no table, so it has no column {column!r}. Expected one of {EXPECTED_FORMATS}.")
    return _file_lines(path)


def line_queries(descriptor: int) -> Iterator[Query | None]:
    """The lines of a file or pipe as they come, each a query. No more than one read and one query are held.

    Args:
      descriptor: of what is read to its end.

    Yields:
      A query; None when no further line has come yet, so that those before it are answered without waiting.
    """
    line, number = _Line(), 0
    while piece := os.read(descriptor, _READ):
        *ended, rest = piece.split(b"\n")
        for part in ended:
            number += 1
            line.add(part)
            yield line.query(number)
            line = _Line()
        line.add(rest)
        if not select.select([descriptor], [], [], 0)[0]:
            yield None
    if line:
        yield line.query(number + 1)


def batches(queries: Iterable[Query | None], most: int = BATCH) -> Iterator[list[Query]]:
    """Queries in their order, at most `most` at once, cut where one would have to wait for more.

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
    """A line as it comes in pieces; of one that is too long, no more than shows it."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._characters = 0

    def __bool__(self) -> bool:
        return bool(self._held)

    def add(self, piece: bytes) -> None:
        self._characters += len(piece.translate(None, _CONTINUATION))
        self._held += piece[: max(0, _MOST_BYTES + 1 - len(self._held))]

    def query(self, number: int) -> Query:
        if len(self._held) > _MOST_BYTES:
            return Query(number, "", too_long("Query", number, self._characters))
        content = self._held.removeprefix(_BOM) if number == 1 else self._held
        try:
            return checked(number, content.decode())
        except UnicodeDecodeError as error:
            place = f"byte 0x{content[error.start]:02x} at position {error.start + 1}"
            return Query(number, "", _undecodable(number, place))


def _undecodable(number: int, place: str) -> str:
    return f"Query {number} is no UTF-8 text: {place}. Save it as UTF-8."


@dataclass
class _Told(BrokenRows):
    """Keeps every row that could not be read until it is taken."""

    waiting: list[str] = field(default_factory=list)

    def add(self, place: str, found: str, expected: str) -> None:
        self.waiting.append(f"{place}: found {found}; expected {expected}.")

    def take(self) -> list[str]:
        taken, self.waiting = self.waiting, []
        return taken


def _file_lines(path: Path) -> Iterator[Query | None]:
    for number, _, _, text, fault in TextFile(path.name, path).lines():
        yield Query(number, "", _undecodable(number, fault)) if fault else checked(number, text)


def _table_queries(path: Path, column: str) -> Iterator[Query]:
    told, numbers = _Told(), itertools.count(1)

    def unread() -> Iterator[Query]:
        for what in told.take():
            number = next(numbers)
            yield Query(number, "", f"Query {number} cannot be read: {what}")

    for place, row in table_rows(path, [column], told):
        value = row[column]
        if value is not None and not isinstance(value, str):
            told.add(place, shorten(str(value)), "a text")
        yield from unread()
        if value is None or isinstance(value, str):
            yield checked(next(numbers), value or "")
    yield from unread()
