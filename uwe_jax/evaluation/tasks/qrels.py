"""Judgements of a task's queries (qrels): from a table with a header, as in BEIR, or from a TREC file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from uwe_jax.evaluation.tasks.grades import EXPECTED_GRADE, read_grade
from uwe_jax.sources.tables.formats import GZIP, SEPARATED, table_format
from uwe_jax.sources.tables.lines import TextFile
from uwe_jax.sources.tables.problems import Problems, shorten
from uwe_jax.sources.tables.reading import read_rows
from uwe_jax.sources.tables.trec import QRELS, fields_of, trec_rows
from uwe_jax.sources.tables.values import ANY

_IDS = {"query_id": "id", "target_id": "id"}


def read_qrels(path: Path, name: str, problems: Problems) -> Iterator[tuple[str, str, str, int]]:
    """Reads qrels: a table of query-id, corpus-id and score, or lines of TREC: query, iteration, document, grade.

    Args:
      name: of the file, for messages.
      problems: takes an entry for every row that is broken, or has no whole number as its grade.

    Yields:
      The file and line, both ids, and the grade: negative ones say that a document is not relevant.

    Raises:
      UserError: it is neither.
    """
    if is_trec_qrels(path):
        trec = ((f"{name}, line {number}", row) for number, row in trec_rows(path, name, QRELS, problems))
        rows = ((place, query, target, grade) for place, (query, _, target, grade) in trec)
    else:
        table = read_rows(path, name, {**_IDS, "score": ANY}, problems, roles={column: column for column in _IDS})
        rows = ((place, row["query_id"], row["target_id"], row["score"]) for place, row in table)
    for place, query, target, grade in rows:
        if (known := read_grade(grade)) is None:
            problems.add(place, f"grade {shorten(str(grade))}", EXPECTED_GRADE)
        else:
            yield place, query, target, known


def is_trec_qrels(path: Path) -> bool:
    """Returns whether a file is no table, or its first line is a judgement as in TREC's qrels instead of a header."""
    ending = table_format(path).removesuffix(GZIP)
    if ending not in SEPARATED:
        return not ending
    first = next((line.text for line in TextFile(path.name, path).head() if line.text.strip()), "")
    return bool((found := fields_of(first, QRELS)) and read_grade(found[3]) is not None)


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

    def content(self, *, judged_alone: bool = False) -> dict[str, Any]:
        """Returns `pairs`, `grades` and the ids of `TaskContent`, for queries and targets in the order of their files.

        The targets of a query are in the order of the corpus: of those with equal texts, the first one counts.

        Args:
          judged_alone: leave out queries without a judgement.
        """
        texts = [*self._targets.values()]
        asked = {number: text for number, text in self._queries.items() if self._judged[number] or not judged_alone}
        judged = [sorted(self._judged[number], key=lambda found: found[0]) for number in asked]
        labels = ([texts[place] for place, _ in each] for each in judged)
        grades = [[grade for _, grade in each] for each in judged]
        return {
            "pairs": [*zip(asked.values(), labels, strict=True)],
            "grades": grades if any(grade != 1 for each in grades for grade in each) else (),
            "query_ids": [*asked],
            "target_ids": [*self._targets],
        }
