"""Normal forms of texts: one that identifies a node, and one that all spellings of a text share."""

from __future__ import annotations

import re
import unicodedata

# Unicode white space, control characters, and the two invisible characters that exports leave in otherwise
# equal labels: zero-width space and byte order mark.
_GAPS = re.compile("[\\s\x00-\x1f\x7f-\x9f\u200b\ufeff]+")
# Of Latin, Chinese, Devanagari and Arabic script, with the spaces around them.
_FULL_STOPS = " .\u2026\u3002\u0964\u06d4"


def normalise(text: str) -> str:
    r"""Returns `text` in Unicode NFC, stripped, with each run of white space and control characters as one space.

    It is idempotent and keeps case and punctuation.

    >>> normalise("  manage\tmusical\u00a0 staff\n")
    'manage musical staff'
    >>> normalise("cafe\u0301") == "caf\u00e9"
    True
    """
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip(" ")  # nearly every label: a third of the time
    return _GAPS.sub(" ", unicodedata.normalize("NFC", text)).strip(" ")


def comparable(text: str) -> str:
    """Returns the form that all spellings of a text share: case-folded, normalised, without a final full stop.

    Training and held-out texts are compared in this form. It is idempotent; a text of full stops alone keeps them.

    >>> comparable("Old  Lamp."), comparable("OLD LAMP"), comparable("C++"), comparable("...")
    ('old lamp', 'old lamp', 'c++', '...')
    """
    folded = normalise(normalise(text).casefold())  # folding takes some letters apart
    return folded.rstrip(_FULL_STOPS) or folded
