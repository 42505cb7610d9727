"""Tells duties from the other statements of a vacancy questionnaire, and gives job titles one spelling."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

# A statement is generic if its titles are of at least so many fields, of which at most this share has a word in common:
# "Assign work based on priorities" belongs to podiatrists and park rangers. A statement that two dozen titles of nurse
# anaesthetists share is a duty of nurse anaesthetists.
MIN_FIELDS = 3
MAX_SHARE = 0.5

_STEM = 4  # letters by which words are compared: therapist and therapy, engineer and engineering are one
# Words of a title for a rank or a kind of appointment, not a field of work.
_RANKS = {
    *("administrator", "assistant", "associate", "chief", "coordinator", "deputy", "director", "general", "head"),
    *("interdisciplinary", "junior", "lead", "leader", "management", "manager", "nte", "office", "officer"),
    *("permanent", "program", "programs", "seasonal", "senior", "service", "services", "spec", "specialist"),
    *("sup", "supervisor", "supervisory", "supv", "supvy", "temporary", "term", "title", "trainee", "work", "worker"),
    *("and", "for", "of", "the", "with"),
}
_WORD = re.compile(r"[^\W\d_]{2,}")

# Phrases of statements that are not duties, in lower case and with the spaces around words.
_PHRASES = (
    # headings above the skills that follow, and references to them
    *(" ksa", "(ksa", "demonstrated knowledge, skills", "demonstrated knowledge skills"),
    *("demonstrate knowledge, skills", "of the above ", "experience above", "requirements above"),
    *("candidate must", "candidates must", "must possess"),
    # answers about oneself
    *(" my job", " my role ", " my work", " my peers", " my best guess", " my regular ", " my dut", " my supervisor"),
    *(" my superiors", " my manager", " my daily", " part of a job", " part of the job", " part of my "),
    # levels of experience and tests of fitness
    *(" documented experience ", "without more than normal supervision", "screen out", "screen-out"),
    *(" do the work of a ", " do the work of the ", " do the work of an "),
    # conditions of an appointment
    *("continuous service", "served continuously", "excepted service employee", "better (or equivalent) performance"),
    *("performance ratings during each", "level of performance or better", "service medal", "served on active duty"),
    *("contingent position", " plc service", " served at least ", "employed in the postal", "unrestricted license"),
    *("removed from the occupation", " - tenure: ", " may qualify ", " registered health information "),
    # instructions
    *("yes/no", '"yes"', "select no more", "select one", "select all that", "select up to", "to be used if "),
)
_PATTERNS = (
    re.compile(r":\W*$"),  # a heading, or a field to fill in
    re.compile(r"^\W*(?:note|NOTE|Note)[:.\s]|NOTE[:.]"),
    re.compile(r"(?:^|[.,;:] |\bwhere(?:by)? )I(?:'ve|'m)? (?!beams)[a-z]"),  # but not Class I
    re.compile(r", [A-Z][a-z]+(?: [A-Z][a-z]+)? \([A-Z]{2}\)$"),  # an address
)

# Half of the announcements have titles in capitals.
_TITLE_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
_ABBREVIATION = 3  # letters: a word in capitals up to this length is an abbreviation unless a title says otherwise
_BRACKETS = re.compile(r"\([^)]*\)?")  # they hold abbreviations

_COMPETENCY = re.compile(r"\W*competency id:? ?\d+\W*$", re.IGNORECASE)
_END = " ;,."


def is_boilerplate(statement: str) -> bool:
    """Returns True if a normalised statement is part of the form and not a duty.

    >>> is_boilerplate("Work in this field has been a central part of my job."), is_boilerplate("Weld class I pipes.")
    (True, False)
    """
    lower = f" {statement.casefold()} "
    return any(phrase in lower for phrase in _PHRASES) or any(pattern.search(statement) for pattern in _PATTERNS)


def clean(statement: str) -> str:
    """Strips the endings that forms append: a competency's number, a final "and" or "or", punctuation.

    >>> clean("Knowledge of Materials. Competency ID: 1212"), clean("Trains staff (and others).; AND")
    ('Knowledge of Materials', 'Trains staff (and others)')
    """
    text = _COMPETENCY.sub("", statement) if "ID" in statement else statement
    text = text.rstrip(_END)
    head, _, last = text.rpartition(" ")
    return head.rstrip(_END) if last.casefold() in ("and", "or") else text


def wording(text: str) -> str:
    """Returns a key that is equal for texts that differ in case, punctuation and spacing alone."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def is_generic(titles: Iterable[str]) -> bool:
    """Returns True if titles that share a statement are of unrelated fields; see `MIN_FIELDS`.

    The field of a title is its words without ranks: that of a lead welder is that of a welder.

    >>> is_generic(["Welder", "Lead Welder", "Chef"]), is_generic(["Welder", "Pilot", "Chef", "Fry Chef"])
    (False, True)
    """
    fields = {
        frozenset(word[:_STEM] for word in _WORD.findall(title.casefold()) if word not in _RANKS) for title in titles
    }
    if len(fields) < MIN_FIELDS:
        return False
    counts = Counter(stem for field in fields for stem in field)
    return max(counts.values()) <= MAX_SHARE * len(fields)


def one_spelling(titles: Iterable[str]) -> dict[str, str]:
    """Returns the spelling of each title: the same for titles that differ in case alone.

    It is the most frequent one that is not in capitals. A title that occurs in capitals alone takes the spelling of
    each word from the other titles, so that abbreviations keep their capitals; words of no other title are capitalised.

    Args:
      titles: as often as they occur, in any order.

    >>> spelt = one_spelling(["IT SPECIALIST", "CHIEF OF NURSES", "Nurse", "IT Specialist", "Chief of Staff"])
    >>> spelt["IT SPECIALIST"], spelt["CHIEF OF NURSES"]
    ('IT Specialist', 'Chief of Nurses')
    """
    counts = Counter(titles)
    mixed = {title: count for title, count in counts.items() if not _in_capitals(title)}
    whole = _most_frequent(mixed.items())
    words = _most_frequent((word, count) for title, count in mixed.items() for word in _TITLE_WORD.findall(title))
    return {title: whole.get(title.casefold()) or _respell(title, words) for title in counts}


def _in_capitals(title: str) -> bool:
    """Returns True if most words outside brackets are in capitals, not counting possible abbreviations."""
    words = [word for word in _TITLE_WORD.findall(_BRACKETS.sub("", title)) if len(word) > _ABBREVIATION]
    return 2 * sum(map(str.isupper, words)) > len(words) if words else title.isupper()


def _most_frequent(spellings: Iterable[tuple[str, int]]) -> dict[str, str]:
    """Returns the most frequent spelling per casefolded text, of equals the first in code point order."""
    counts: Counter[str] = Counter()
    for text, count in spellings:
        counts[text] += count
    ascending = sorted(counts, key=lambda text: (-counts[text], text), reverse=True)
    return {text.casefold(): text for text in ascending}


def _respell(title: str, words: Mapping[str, str]) -> str:
    def spell(match: re.Match[str]) -> str:
        word = match.group()
        if not word.isupper():
            return word
        return words.get(word.casefold()) or (word if len(word) <= _ABBREVIATION else word.capitalize())

    text = _TITLE_WORD.sub(spell, title)
    return text[:1].upper() + text[1:]
