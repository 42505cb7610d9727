"""What damage to a zip looks like, and how a file is told from another one, zipped or unzipped."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

# What zipfile raises, by where the damage lies: it may pass for an encrypted file or an unknown method
# (RuntimeError), for a place outside the file (OSError), or for a name that is no text (ValueError).
ZIP_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError, ValueError)


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
