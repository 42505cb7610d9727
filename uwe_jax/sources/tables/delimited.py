"""Reads text files of fields between separators; separator and quoting are detected from the content."""

from __future__ import annotations

import contextlib
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.tables.chunk import WHOLE, Chunk
from uwe_jax.sources.tables.lines import Line, TextFile
from uwe_jax.sources.tables.names import is_known

# The csv module stops at 131,072 characters per field; a description column, which is skipped, may be longer.
_FIELD_LIMIT = 10_000_000
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_LITERAL = "\t|"  # separators of files that may hold quotes as they are
_DECLARED = re.compile(r'(?i)"?sep=(.)"?[,;\t|]*\s*')  # a first line for Excel


class Record(NamedTuple):
    """A row, with its lines: several if a quoted field contains line ends."""

    fields: list[str]
    lines: list[Line]


class UnparsableRecord(ValueError):
    """A quote is not closed, or text follows a closed one; `line` is the number of the record's first line."""

    def __init__(self, line: int, reason: str):
        super().__init__(f"a row that cannot be parsed ({reason})")
        self.line = line


@dataclass(frozen=True)
class Dialect:
    """The detected format of a delimited file."""

    separator: str  # between fields; "" if a line is one field
    quoted: bool  # whether quotes at both ends of a field enclose it
    header: tuple[str, ...]  # names of the columns, stripped
    begin: int  # byte of the first row of data
    number: int  # of its line

    def __str__(self) -> str:
        if not self.separator:
            return "one text per line"
        named = _SEPARATORS.get(self.separator, repr(self.separator))
        return f"separated by {named}" + ("" if self.quoted else ", quotes taken literally")

    def records(self, file: TextFile, where: Chunk = WHOLE) -> Iterator[Record]:
        """Yields the records of a chunk; UnparsableRecord from where record boundaries are ambiguous."""
        begin, number = (self.begin, self.number) if where.start < 0 else (where.start, where.first)
        return _records(file.lines(begin, where.stop, number), self.separator, self.quoted)


ONE_TEXT_PER_LINE = Dialect("", False, ("text",), 0, 1)


def find_dialect(file: TextFile, default: str, quoted: bool | None = None, *, header: bool = True) -> Dialect:
    """Detects the separator from the header and the rows after it, and whether quotes enclose fields.

    Quotes of files with tabs or bars are literal if the rows cannot be parsed otherwise, or if quoted fields would
    swallow whole rows: lines that have the fields of the header each. If the header is quoted, so are rows.

    Args:
      file: its first line may declare the separator, such as sep=;.
      default: the separator if the content does not tell.
      quoted: whether quotes enclose fields; None detects it, for which some files are read to their end.
      header: whether the first row names the columns; else they are called 1, 2 and so on.

    Raises:
      UserError: the file is empty, or its header is not UTF-8 text.
    """
    sample = file.head()
    declared = _DECLARED.fullmatch(sample[0].text) if sample else None
    sample = [line for line in sample[1 if declared else 0 :] if line.text.strip("\r\n")]
    if not sample:
        raise UserError(f"{file.name} is empty. Expected a first row with the names of the columns.")
    if sample[0].fault:
        raise UserError(f"{file.name}, line {sample[0].number}: found {sample[0].fault}; expected UTF-8 text.")
    separator = declared[1] if declared else _separator(sample, default)
    fields, lines = next(_records(iter(sample), separator, False))
    enclosed = False
    with contextlib.suppress(UnparsableRecord):
        record = next(_records(iter(sample), separator, True))
        if len(record.lines) == 1 or separator not in _LITERAL:
            enclosed = header and record.fields != fields
            fields, lines = record
    names = tuple(name.strip() if header else str(place) for place, name in enumerate(fields, 1))
    begin, number = (lines[-1].end, lines[-1].number + 1) if header else (lines[0].begin, lines[0].number)
    if quoted is None:
        quoted = enclosed or separator not in _LITERAL
        quoted = quoted or not _swallows(file.lines(begin, number=number), separator, len(names))
    return Dialect(separator, quoted, names, begin, number)


def _records(lines: Iterator[Line], separator: str, quoted: bool) -> Iterator[Record]:
    """Yields the records, without blank lines."""
    for line in lines:
        text = line.text.rstrip("\r\n")
        if quoted and '"' in text:
            yield _quoted_record(line, lines, separator)
        elif text if separator else text.strip():
            yield Record(text.split(separator) if separator else [text], [line])


def _quoted_record(first: Line, rest: Iterator[Line], separator: str) -> Record:
    taken, text = [first], first.text
    if ' "' in text and separator != " ":  # spaces before a quoted field, outside others
        start, end = rf"(?<![^{re.escape(separator)}])", rf"(?:[{re.escape(separator)}\r\n]|$)"
        text = re.sub(rf'("[^"]*")|{start} +(?="[^"]*(?:""[^"]*)*"{end})', r"\1", text)

    def texts() -> Iterator[str]:
        yield text
        for line in rest:
            taken.append(line)
            yield line.text

    # For this row alone: the limit is global, and the caller may read other files between rows.
    before = csv.field_size_limit(_FIELD_LIMIT)
    try:
        # strict: without it an unclosed quote silently swallows the rest of the file as one field
        return Record(next(csv.reader(texts(), delimiter=separator, strict=True)), taken)
    except csv.Error as error:
        raise UnparsableRecord(first.number, str(error)) from error
    finally:
        csv.field_size_limit(before)


def _separator(sample: list[Line], default: str) -> str:
    """Returns the separator that gives the header a known name, or most rows as many fields as the header."""

    def rows(separator: str) -> Iterator[list[str]]:
        try:
            yield from (record.fields for record in _records(iter(sample), separator, True))
        except UnparsableRecord:
            return

    found = []
    for each in dict.fromkeys((default, *_SEPARATORS)):
        header, *others = list(rows(each)) or [[]]
        known = any(map(is_known, header))
        share = sum(len(row) == len(header) for row in others) / len(others) if others else 1.0
        if len(header) > 1 and (known or share >= 0.5):
            found.append((known, share, each == default, len(header), each))
    return max(found)[-1] if found else default


def _swallows(lines: Iterator[Line], separator: str, width: int) -> bool:
    """Returns whether enclosing quotes would fail, or join whole rows of `width` fields more often than not."""
    rows = parts = 0
    for line in lines:
        if '"' not in line.text:
            continue
        try:
            record = _quoted_record(line, lines, separator)
        except UnparsableRecord:
            return rows >= parts
        whole = width > 1 and all(each.text.count(separator) == width - 1 for each in record.lines)
        rows, parts = rows + (whole and len(record.lines) > 1), parts + (not whole)
    return rows > parts
