"""Collects the judgements of a task's queries (qrels), from files of any layout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from uwe_jax.sources.tables.problems import Problems, shorten


class Qrels:
    """Grades of the judged targets of every query.

    Args:
      queries: texts by id.
      targets: texts by id, in the order of the corpus.
      problems: takes an entry for every id that neither has.
    """

    def __init__(self, queries: Mapping[str, str], targets: Mapping[str, str], problems: Problems):
        self._queries, self._targets, self._problems = queries, targets, problems
        self._places = {number: place for place, number in enumerate(targets)}
        self._judged: dict[str, list[tuple[int, int]]] = {number: [] for number in queries}

    def knows(self, place: str, query: str, target: str) -> bool:
        """Returns whether both ids are those of the task, else adds a problem; `place` is the file and line."""
        unknown = [
            (f"{column} {shorten(number)}", f"an id of the {len(known):,} {texts}")
            for column, number, known, texts in (
                ("query_id", query, self._judged, "queries"),
                ("target_id", target, self._places, "targets"),
            )
            if number not in known
        ]
        for found, expected in unknown:
            self._problems.add(place, found, expected)
        return not unknown

    def add(self, query: str, target: str, grade: int) -> None:
        """Adds a judgement, of grade 0 if the target is not relevant."""
        self._judged[query].append((self._places[target], grade))

    def content(self) -> dict[str, Any]:
        """Returns `pairs`, `grades` and the ids of `TaskContent`, for queries and targets in the order of their files.

        The targets of a query are in the order of the corpus: of those with equal texts, the first one counts.
        """
        texts = [*self._targets.values()]
        judged = [sorted(each, key=lambda found: found[0]) for each in self._judged.values()]
        labels = ([texts[place] for place, _ in each] for each in judged)
        grades = [[grade for _, grade in each] for each in judged]
        return {
            "pairs": [*zip(self._queries.values(), labels, strict=True)],
            "grades": grades if any(grade != 1 for each in grades for grade in each) else (),
            "query_ids": [*self._queries],
            "target_ids": [*self._targets],
        }
