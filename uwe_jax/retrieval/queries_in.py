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

from uwe_jax.retrieval.limits import MAX_CHARACTERS, Accepted, judge, too_long
from uwe_jax.retrieval.table_targets import text_column
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.tables.formats import EXPECTED_FORMATS, table_format
from uwe_jax.sources.tables.lines import TextFile
from uwe_jax.sources.tables.problems import BrokenRows, shorten
from uwe_jax.sources.tables.reading import open_table, table_rows

BATCH = 256  # queries that are answered at once
_READ = 1 << 16  # bytes, the capacity of a pipe
_MOST_BYTES = 4 * MAX_CHARACTERS  # of UTF-8: a longer line has more characters than a query may have
_CONTINUATION = bytes(range(0x80, 0xC0))  # bytes of UTF-8 that begin no character
_BOM = b"\xef\xbb\xbf"


def file_queries(path: Path, column: str = "") -> Iterator[Accepted | None]:
    """Reads the queries in a file: a column of a table, see `text_column`, or the lines of any other file.

    Raises:
      UserError: there is no such file or column, it holds no query, or, once it is read, it is damaged.
    """
    if not path.is_file():
        raise UserError(
            f"There is no file {path}. Expected queries, one per line, or a table in one of {EXPECTED_FORMATS}."
        )
    queries = _read_file(path, column)
    if (first := next(queries, None)) is None:
        raise UserError(f"{path} holds no query. Expected one per line, or a column of texts.")
    return itertools.chain([first], queries)


def _read_file(path: Path, column: str) -> Iterator[Accepted]:
    if table_format(path):
        table = open_table(path, quoted=True, columns=[column])
        return _table_queries(path, text_column(path, table, column, "query"))
    if column:
        raise UserError(f"{path} is not a table, so it has no column {column!r}. Expected one of {EXPECTED_FORMATS}.")
    return (
        _undecodable(number, fault) if fault else judge(text, "Query", number)
        for number, _, _, text, fault in TextFile(path.name, path).lines()
    )


def line_queries(descriptor: int) -> Iterator[Accepted | None]:
    """Yields the lines of a file or pipe as they come, each a query, holding at most one read and one query.

    Yields None when no further line has come yet, so that those before it can be answered.
    """
    line, number, returned = _Line(), 0, False  # returned: whether the last byte was a carriage return
    while chunk := os.read(descriptor, _READ):
        ends = chunk.removeprefix(b"\n" if returned else b"").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *ended, rest = ends.split(b"\n")
        returned = chunk.endswith(b"\r")
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


def batches(queries: Iterable[Accepted | None], most: int = BATCH) -> Iterator[list[Accepted]]:
    """Batches at most `most` queries, in their order; a batch ends where it would have to wait for more.

    >>> list(batches(["a", None, None, "b"]))
    [['a'], ['b']]
    """
    batch: list[Accepted] = []
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

    def query(self, number: int) -> Accepted:
        if len(self.held) > _MOST_BYTES:
            return UserError(too_long("Query", number, self._characters))
        content = self.held.removeprefix(_BOM) if number == 1 else self.held
        try:
            return judge(content.decode(), "Query", number)
        except UnicodeDecodeError as error:
            return _undecodable(number, f"byte 0x{content[error.start]:02x} at position {error.start + 1}")


def _undecodable(number: int, place: str) -> UserError:
    return UserError(f"Query {number} is not UTF-8 text: {place}. Save it as UTF-8.")


@dataclass
class _Waiting(BrokenRows):
    """Broken rows that were not reported yet."""

    rows: list[str] = field(default_factory=list)

    def add(self, place: str, found: str, expected: str) -> None:
        self.rows.append(f"{place}: found {found}; expected {expected}.")


def _table_queries(path: Path, column: str) -> Iterator[Accepted]:
    broken, numbers = _Waiting(), itertools.count(1)

    def unread() -> Iterator[Accepted]:
        while broken.rows:
            yield UserError(f"Query {next(numbers)} cannot be read: {broken.rows.pop(0)}")

    for place, row in table_rows(path, [column], broken):
        value = row[column]
        if value is not None and not isinstance(value, str):
            broken.add(place, shorten(str(value)), "a text")
        yield from unread()
        if value is None or isinstance(value, str):
            yield judge(value or "", "Query", next(numbers))
    yield from unread()
