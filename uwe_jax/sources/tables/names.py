"""Accepted names of columns by role.

Names are compared by letters and digits alone, ignoring case: Job Title, job_title and jobTitle are equal. If several
columns of a table fit, the one with the earliest name in the list is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.tables.problems import shorten

_LABELS = ("label", "skill", "skilllabel", "preferredlabel", "name", "skillname")
_TITLES = ("title", "jobtitle", "vacancytitle", "positiontitle", "postingtitle", "jobname", "position", "job")
NAMES: dict[str, tuple[str, ...]] = {
    "id": (
        *("id", "uri", "skillid", "concepturi", "skilluri", "code"),
        *("vacancyid", "jobid", "postingid", "jobpostingid", "uuid", "url"),
    ),
    "target": ("text", "target", *_LABELS, *_TITLES, "query", "sentence"),
    "query": ("text", "query", "target", *_LABELS, *_TITLES, "sentence"),
    "label": (*_LABELS, "title", "text"),
    "aliases": ("aliases", "alias", "altlabels", "alternativelabels", "altlabel", "synonyms"),
    "title": _TITLES,
    "description": (
        *("description", "jobdescription", "vacancydescription", "fulldescription", "descriptiontext", "body"),
        *("text", "content", "vacancytext", "jobtext", "adtext", "html", "descriptionhtml"),
    ),
    "skills": ("skills", "skill", "skillnames", "requiredskills", "skilllist", "jobskills", "competences"),
    "query_id": ("queryid", "qid"),
    "target_id": ("targetid", "corpusid", "docid"),
    "left": ("left",),
    "right": ("right",),
    "relation": ("relation",),
    "left_id": ("leftid",),
    "right_id": ("rightid",),
}
_KNOWN = frozenset(name for names in NAMES.values() for name in names)
HEADER = "Rename the column; a file whose first row holds data needs a row of names above it."


def named_columns(names: Sequence[str], roles: Iterable[str], table: str = "The table") -> dict[str, str]:
    """Returns the column of each role of `NAMES` that has one; UserError if several columns have its name.

    >>> named_columns(["Job Title", "title", "body"], ("title", "description", "id"))
    {'title': 'title', 'description': 'body'}
    """
    plain = {_plain(name): name for name in reversed(names)}
    found = {role: next((plain[each] for each in NAMES[role] if each in plain), "") for role in roles}
    for name in filter(None, found.values()):
        _check_one([each for each in names if _plain(each) == _plain(name)], _plain(name), names, table)
    return {role: name for role, name in found.items() if name}


def is_known(name: str) -> bool:
    """Returns whether a name is in `NAMES`."""
    return _plain(name) in _KNOWN


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name)).casefold()


def same_names(names: Sequence[str], name: str) -> list[str]:
    """Returns the names equal to `name`: exactly, else ignoring case and surrounding space.

    >>> same_names(["Left", "right"], "left"), same_names(["Left", "left"], "left"), same_names(["a"], "left")
    (['Left'], ['left'], [])
    """
    plain = name.strip().casefold()
    return [each for each in names if each == name] or [each for each in names if each.strip().casefold() == plain]


def check_once(columns: Sequence[str], column: str, table: str) -> None:
    """Raises UserError if a table has several columns of one name."""
    _check_one(same_names(columns, column), column, columns, table)


def _check_one(same: Sequence[str], name: str, columns: Sequence[str], table: str) -> None:
    if len(same) > 1:
        both, there = " and ".join(map(repr, same)), ", ".join(map(shorten, columns))
        raise UserError(f"{table} has {len(same)} columns named {name!r}, {both}; expected one. Its columns: {there}.")
