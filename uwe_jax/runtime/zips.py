"""Reads zip and gzip files of others: damage, limits of the unpacked size, and signatures."""

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

# What zipfile raises, depending on the damage: it may look like an encrypted file or an unknown method (RuntimeError),
# a position outside the file (OSError), or a name that is not text (ValueError).
ZIP_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError, ValueError)

# Limit of the unpacked size: a multiple of the packed size, but at least some bytes. Tables of text shrink to a third
# or a tenth, the most repetitive to a fiftieth; zip bombs to a thousandth.
_MOST_TIMES, _ALWAYS = 100, 16 << 20
_PIECE = 1 << 20


def check_unpacked(name: Path | str, packed: int, unpacked: int) -> None:
    """Raises UserError if `unpacked`, bytes seen so far, exceeds what `packed` bytes may be; `name` is of the file."""
    if unpacked > (most := max(_ALWAYS, _MOST_TIMES * packed)):
        raise UserError(
            f"{name} has {packed:,} bytes and unpacks to at least {unpacked:,}; at most {most:,} are allowed, "
            f"{_MOST_TIMES} times its size or {_ALWAYS:,} for small files. If the size is intended, unpack it "
            "yourself: files that are not compressed have no limit."
        )


@contextmanager
def whole_gzip(path: Path, name: Path | str) -> Iterator[None]:
    """Raises UserError, with the file's name, for damage to a gzip file found in the block."""
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(
            f"{name} is a truncated or corrupt gzip file ({path.stat().st_size:,} bytes; {error}). Copy or download "
            f"{path} again."
        ) from error


def read_gzip(path: Path, name: Path | str) -> bytes:
    """Reads a gzip file; raises UserError if it is damaged or `check_unpacked` refuses it."""
    packed, unpacked, pieces = path.stat().st_size, 0, []
    with whole_gzip(path, name), gzip.open(path) as file:
        while piece := file.read(_PIECE):
            pieces.append(piece)
            unpacked += len(piece)
            check_unpacked(name, packed, unpacked)
    return b"".join(pieces)


def read_member(archive: zipfile.ZipFile, member: str) -> bytes:
    """Reads a member of a zip; raises UserError if `check_unpacked` refuses it, ZIP_DAMAGE for damage."""
    entry = archive.getinfo(member)
    check_unpacked(f"{archive.filename}: {member}", entry.compress_size, entry.file_size)
    return archive.read(entry)


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Reads the arrays of an npz file; errors as of `read_member`."""
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            content = io.BytesIO(read_member(archive, member))
            try:
                arrays[member.removesuffix(".npy")] = np.lib.format.read_array(content, allow_pickle=False)
            except MemoryError as error:  # numpy allocates what the header says before it reads
                raise ValueError(f"{member} has an impossible shape in its header") from error
    return arrays


def npz_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Reads the shapes of the arrays of an npz file, and none of their values; raises ZIP_DAMAGE for damage."""
    shapes = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            with archive.open(member) as file:
                first = np.lib.format.read_magic(file) == (1, 0)
                header = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
                shapes[member.removesuffix(".npy")] = header(file)[0]
    return shapes


def signature(path: Path, member: str = "") -> tuple[int, int]:
    """Returns size in bytes and CRC-32 of a file, or of the member of a zip; the same zipped and unzipped."""
    if member:
        with zipfile.ZipFile(path) as archive:
            entry = archive.getinfo(member)
            return entry.file_size, entry.CRC
    content = path.read_bytes()
    return len(content), zlib.crc32(content)
