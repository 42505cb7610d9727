"""The one form in which texts are compared: two texts that normalise alike are one node."""

from __future__ import annotations

import re
import unicodedata

# Unicode white space, control characters, and the two invisible characters that exports leave in otherwise
# equal labels: zero-width space and byte order mark.
_GAPS = re.compile("[\\s\x00-\x1f\x7f-\x9f\u200b\ufeff]+")


def normalise(text: str) -> str:
    r"""Returns `text` in Unicode NFC with every run of white space and control characters as one space,
    stripped.

    Applying it twice changes nothing. Case and punctuation are kept.

    >>> normalise("  manage\tmusical\u00a0 staff\n")
    'manage musical staff'
    >>> normalise("cafe\u0301") == "caf\u00e9"
    True
    """
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip(" ")  # nearly every label: a third of the time
    return _GAPS.sub(" ", unicodedata.normalize("NFC", text)).strip(" ")
