"""Zip and gzip files of others: what damage looks like, how much they may unpack to, and what tells them apart."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from uwe_jax.runtime.errors import UserError

# What zipfile raises, by where the damage lies: it may pass for an encrypted file or an unknown method
# (RuntimeError), for a place outside the file (OSError), or for a name that is no text (ValueError).
ZIP_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError, ValueError)

# What is packed may unpack to so many times its size, and to so many bytes in any case. Tables of text shrink to a
# third or a tenth, the most repetitive to a fiftieth; what is made to fill a memory, to a thousandth.
_MOST_TIMES, _ALWAYS = 100, 16 << 20
_PIECE = 1 << 20


def most_unpacked(packed: int) -> int:
    """Bytes that so many packed ones may unpack to.

    >>> most_unpacked(1000), most_unpacked(10_000_000)
    (16777216, 1000000000)
    """
    return max(_ALWAYS, _MOST_TIMES * packed)


def check_unpacked(name: Path | str, packed: int, unpacked: int) -> None:
    """Raises UserError where something packed unpacks to more than `most_unpacked`.

    Args:
      name: of the file, or of the member of a zip, for the message.
      packed: bytes.
      unpacked: bytes that there are at least.
    """
    if unpacked > (most := most_unpacked(packed)):
        raise UserError(
            f"{name} has {packed:,} bytes and unpacks to at least {unpacked:,}; at most {most:,} are allowed, "
            f"{_MOST_TIMES} times its size or {_ALWAYS:,} for small files. If it is meant to be so large, unpack it "
            "yourself: a file that is not compressed is read whatever its size."
        )


@contextmanager
def whole_gzip(path: Path, name: Path | str) -> Iterator[None]:
    """Answers damage to a gzip file with a sentence.

    Args:
      name: of the file, for messages.

    Raises:
      UserError: it is damaged.
    """
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(
            f"{name} is no whole gzip ({path.stat().st_size:,} bytes; {error}). Expected a gzipped table: copy or "
            f"download {path} again."
        ) from error


def read_gzip(path: Path, name: Path | str) -> bytes:
    """The content of a gzip file, within bounds.

    Raises:
      UserError: it is damaged, or unpacks to more than `most_unpacked`.
    """
    packed, unpacked, pieces = path.stat().st_size, 0, []
    with whole_gzip(path, name), gzip.open(path) as file:
        while piece := file.read(_PIECE):
            pieces.append(piece)
            unpacked += len(piece)
            check_unpacked(name, packed, unpacked)
    return b"".join(pieces)


def read_member(archive: zipfile.ZipFile, member: str) -> bytes:
    """The content of a file in a zip, within bounds.

    Raises:
      UserError: it unpacks to more than `most_unpacked`.
      ZIP_DAMAGE: it is damaged.
    """
    entry = archive.getinfo(member)
    check_unpacked(f"{archive.filename}: {member}", entry.compress_size, entry.file_size)
    return archive.read(entry)


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an npz file, within bounds.

    Raises:
      UserError: one unpacks to more than `most_unpacked`.
      ZIP_DAMAGE: it is damaged.
    """
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            content = io.BytesIO(read_member(archive, member))
            try:
                arrays[member.removesuffix(".npy")] = np.lib.format.read_array(content, allow_pickle=False)
            except MemoryError as error:  # numpy takes the memory that the header names before it reads
                raise ValueError(f"{member} names a shape that it cannot have") from error
    return arrays


def signature(path: Path, member: str = "") -> tuple[int, int]:
    """Size in bytes and CRC-32 of a file, the same zipped and unzipped.

    Args:
      path: of the file, or of the zip that it is in.
      member: its name inside the zip.
    """
    if member:
        with zipfile.ZipFile(path) as archive:
            entry = archive.getinfo(member)
            return entry.file_size, entry.CRC
    content = path.read_bytes()
    return len(content), zlib.crc32(content)
