"""Languages of tasks: which are asked for, which a task has, and how results are averaged over them.

A task is measured once per pair of a query language and a target language. Where both are one, it is monolingual, else
cross-lingual.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from uwe_jax.runtime.errors import UserError

ANY = "any"  # side of a task that has texts in every language there is data for
SEVERAL = "mul"  # side of a task whose texts are in several languages at once, as in ISO 639-2
MEANS = ("monolingual", "query", "target", "all")


class Pair(NamedTuple):
    """Languages of queries and targets; empty where they are not known."""

    query: str
    target: str

    def __str__(self) -> str:
        return self.query if self.query == self.target else f"{self.query}-{self.target}"

    @property
    def suffix(self) -> str:
        """Returns the end of a task's name: nothing in English, whose names are those of the catalogue."""
        return "" if self in (("en", "en"), UNKNOWN) else f"_{str(self).replace('-', '_')}"


UNKNOWN = Pair("", "")


def parse_languages(names: Sequence[str]) -> list[Pair]:
    """Reads codes of languages, or of queries' and targets' languages, such as de and en-de.

    Raises:
      UserError: there is none, or one is not a code.

    >>> parse_languages(["EN", "en-de"])
    [Pair(query='en', target='en'), Pair(query='en', target='de')]
    """
    pairs = []
    for name in names:
        code = name.strip().lower()
        if not re.fullmatch("[a-z]{2,3}(-[a-z]{2,3})?", code):
            raise UserError(
                f"--languages has {name!r}. Give codes such as de, or of queries and of targets such as en-de, "
                "separated by commas."
            )
        query, _, target = code.partition("-")
        pairs.append(Pair(query, target or query))
    if not pairs:
        raise UserError("--languages names nothing. Give codes such as en,de.")
    return list(dict.fromkeys(pairs))


def pair_of_task(has: tuple[str, str], asked: Pair) -> tuple[Pair, str]:
    """Returns the languages that a task is measured in, and why it cannot be, if it cannot.

    A single language asks for targets in it, and for queries in it unless the task's are in one language alone.

    Args:
      has: languages of the task's queries and targets, each `ANY`, a code, or empty where it is not known.

    >>> pair_of_task(("en", ANY), Pair("de", "de"))
    (Pair(query='en', target='de'), '')
    """
    if has == UNKNOWN:
        return UNKNOWN, ""
    query, target = (each if own == ANY else own for own, each in zip(has, asked, strict=True))
    single = asked.query == asked.target
    for side, own, wanted in (("queries", query, asked.query), ("targets", target, asked.target)):
        if own != wanted and not (single and side == "queries" and has[1] == ANY):
            return asked, f"Its {side} are in {own!r} only, and {str(asked)!r} was asked for: add it to --languages."
    return Pair(query, target), ""


def language_of(task: Mapping[str, Any], mean: str) -> str | None:
    """Returns the language that a task of results.json counts for in a mean of `MEANS`; None if it does not count.

    >>> task = {"query_language": "en", "target_language": "de"}
    >>> [language_of(task, mean) for mean in MEANS]
    [None, 'en', 'de', '']
    >>> language_of({"query_language": "en", "target_language": "mul"}, "target")

    """
    pair = Pair(task.get("query_language", ""), task.get("target_language", ""))
    if mean == "monolingual":
        return pair.query if pair.query == pair.target else None
    language = {"query": pair.query, "target": pair.target, "all": ""}[mean]
    return None if language == SEVERAL else language
