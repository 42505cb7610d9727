"""Normal forms of texts: one that identifies a node, and those that spellings of a text or of a name share."""

from __future__ import annotations

import re
import unicodedata

# Unicode white space, control characters, and the two invisible characters that exports leave in otherwise
# equal labels: zero-width space and byte order mark.
_GAPS = re.compile("[\\s\x00-\x1f\x7f-\x9f\u200b\ufeff]+")
# Of Latin, Chinese, Devanagari and Arabic script, with the spaces around them.
_FULL_STOPS = " .\u2026\u3002\u0964\u06d4"
_HYPHENS = re.compile("[-\u00ad\u2010-\u2015\u2212 ]+")
# Not of short words, and not of those in ss, us and is: gas, class, campus, analysis.
_PLURAL = re.compile(r"(?<=\w\w[^\Wsui])s\b")


# Bullets before a text, and the genders behind a job title: (m/f/d), [all genders].
_BULLETS = re.compile("(?:[-*\u2013\u2014\u2022\u2023\u00b7\u25aa\u25cf\u25e6]+ )+")
_GENDERS = re.compile(r" ?[(\[](?:all genders|[mfdwhx](?: ?/ ?[mfdwhx]){1,3})[)\]]", re.IGNORECASE)


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


def without_marks(query: str) -> str:
    """Removes list bullets before a query, gender markers in brackets and final full stops, but never all of it.

    Numbers stay, without which rankings were worse; so do working hours and places, which can be part of a name.

    >>> without_marks("* \u2022 Java (EE)."), without_marks("Nurse (m/f/d), nights"), without_marks("- (m/w/d)")
    ('Java (EE)', 'Nurse, nights', '- (m/w/d)')
    """
    kept = _GENDERS.sub("", query)
    if (marks := _BULLETS.match(kept)) and marks.end() < len(kept):
        kept = kept[marks.end() :]
    return kept.strip().rstrip(_FULL_STOPS) if any(map(str.isalnum, kept)) else query


def singular(key: str) -> str:
    """Removes the s at the end of the words of a lower-case text.

    >>> singular("manage budgets of gas companies"), singular("class analysis")
    ('manage budget of gas companie', 'class analysis')
    """
    return _PLURAL.sub("", key)


def name_key(text: str) -> str:
    """Returns the form that names share which differ in case, hyphens and spaces, or the s of a plural alone.

    >>> name_key("Front-end  Developers"), name_key("frontend developer"), name_key("C++"), name_key("-")
    ('frontenddeveloper', 'frontenddeveloper', 'c++', '-')
    """
    return _HYPHENS.sub("", singular(comparable(text))) or text
