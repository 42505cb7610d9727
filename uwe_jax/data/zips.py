"""What damage to a zip looks like."""

from __future__ import annotations

import zipfile
import zlib

# What zipfile raises, by where the damage lies: it may pass for an encrypted file or an unknown method
# (RuntimeError), for a place outside the file (OSError), or for a name that is no text (ValueError).
ZIP_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError, ValueError)
