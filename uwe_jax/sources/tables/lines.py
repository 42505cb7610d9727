"""Lines of text files: UTF-8 with or without a byte order mark, with any line ends, gzipped or not."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.zips import check_unpacked, whole_gzip
from uwe_jax.sources.tables.formats import GZIP

_LINE_LIMIT = 1 << 26  # bytes
_HEAD = 100  # lines from which the format is detected
_BLOCK = 1 << 20  # bytes per read
_PACKED = ((b"PK\x03\x04", "zip archive", ".xlsx if it is a sheet"), (b"\x1f\x8b", "gzip file", "end in .gz"))
_BOM = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """A line, with its line end."""

    number: int  # from 1
    begin: int  # its first byte, of the unpacked content
    end: int  # the byte behind it
    text: str  # as in the file; bytes that are not UTF-8 are surrogates
    fault: str  # names the first of these; "" of a line that is UTF-8


@dataclass(frozen=True)
class TextFile:
    """A text file, or the content of one."""

    name: str  # for messages
    path: Path | None = None  # None: `data` is the content
    data: bytes = b""

    @property
    def packed(self) -> bool:
        return self.path is not None and self.path.suffix.lower() == GZIP

    def lines(self, begin: int = 0, stop: int = -1, number: int = 1) -> Iterator[Line]:
        r"""Yields lines, which end at a line feed, a carriage return, or both.

        Args:
          begin: byte of the first line.
          stop: byte after the last line; -1 reads to the end.
          number: of the first line.

        Raises:
          UserError: the file is UTF-16 or a damaged gzip, or a line or the whole is too large.

        >>> [line[:4] for line in TextFile("a", data=b"\xef\xbb\xbfa\rb\r\nc").lines()]
        [(1, 3, 5, 'a\r'), (2, 5, 8, 'b\r\n'), (3, 8, 9, 'c')]
        """
        position = begin
        for raw in self._raw_lines(begin):
            if 0 <= stop <= position:
                return
            if not position:
                mark, raw = (len(_BOM), raw[len(_BOM) :]) if raw.startswith(_BOM) else (0, raw)
                position = mark
                if raw[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in raw[:2]:
                    raise UserError(
                        f"{self.name} is UTF-16 text. Expected UTF-8: save it again as UTF-8 and run again."
                    )
                for magic, kind, ending in _PACKED:
                    if raw.startswith(magic):
                        raise UserError(f"{self.name} is a {kind}, not text. Rename it to {ending}.")
            try:
                text, fault = raw.decode(), ""
            except UnicodeDecodeError as error:
                text = raw.decode("utf-8", "surrogateescape")
                fault = f"byte 0x{raw[error.start]:02x} at position {error.start + 1}"
            yield Line(number, position, position + len(raw), text, fault)
            position, number = position + len(raw), number + 1

    def head(self) -> list[Line]:
        """Returns the first hundred lines, or those before a damage, which is reported when the file is read."""
        lines: list[Line] = []
        try:
            lines.extend(islice(self.lines(), _HEAD))
        except UserError:
            if not lines:
                raise
        return lines

    def _raw_lines(self, begin: int = 0) -> Iterator[bytes]:
        """Yields the lines from a byte on, undecoded; UserError as of `lines`."""
        path = self.path or Path(self.name)
        packed = path.stat().st_size if self.packed else 0
        plain = path.open("rb") if self.path else io.BytesIO(self.data)
        with whole_gzip(path, path), plain, gzip.open(plain) if self.packed else plain as file:
            file.seek(begin)
            held, unpacked = b"", begin
            # read1 returns the available bytes of a truncated gzip, so that its first lines are read
            while block := file.read1(_BLOCK):
                unpacked += len(block)
                if packed:
                    check_unpacked(path, packed, unpacked)
                *lines, held = (held + block).splitlines(keepends=True)  # of bytes: at line feeds and carriage returns
                yield from lines
                if len(held) >= _LINE_LIMIT:
                    raise UserError(
                        f"{self.name} has a line of at least {_LINE_LIMIT:,} bytes, from byte {unpacked - len(held):,} "
                        "on; lines of tables must be shorter. Write it with a line feed after every row."
                    )
            if held:
                yield held
