"""Answers to queries as they are written: JSON lines and CSV for programs, tables for people."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from uwe_jax.retrieval.explanation import Explanation
from uwe_jax.retrieval.hits import Hits
from uwe_jax.retrieval.store.columns import DESCRIPTION
from uwe_jax.retrieval.store.searchable import Hit
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.folders import replacing
from uwe_jax.runtime.printable import json_text
from uwe_jax.runtime.text_table import render_table
from uwe_jax.sources.tables.problems import shorten

_HIT = ("id", "text", "score", "name", "exact", "role", "words", "probability")
_FIELDS = ("number", "query", "index", "rank", *_HIT, "of")
_NONE, _ERROR = "none", "error"


@dataclass(frozen=True)
class Answer:
    """The result of a query.

    Attributes:
      number: of the line, row or argument, from 1.
      query: its text, normalised.
      hits: best first, by the name of their index.
      explanations: of the best hit of every index, by its name; empty unless asked for.
      error: why it cannot be answered, in place of all of these.
    """

    number: int
    query: str = ""
    hits: Mapping[str, Hits] = field(default_factory=dict)
    explanations: Mapping[str, Explanation] = field(default_factory=dict)
    error: str = ""


def json_line(answer: Answer) -> str:
    """Returns one JSON object on one line.

    `number` is that of the line, row or argument, followed by `error`, a message, or `query`, `hits` (lists of `id`,
    `text`, `score`, `columns`, `name`, `exact`, `role`, `words` and `probability` by the name of their index; see
    `Hit`) and, where asked for, `explanations` by the same names, of the first hit's matching name, each as of
    `Explanation.to_dict`. `of` is the number of targets that were ranked, by the same names, `note` what raw scores
    mean, of each index that has no probabilities, and `none` how near the best came, of each index without a hit that
    reaches a threshold.

    >>> print(json_line(Answer(1, "chef", {"skills": Hits([Hit("s4", "cook", 0.5, {"family": "food"})], total=60)})))
    {"number": 1, "query": "chef", "hits": {"skills": [{"id": "s4", "text": "cook", "score": 0.5, \
"columns": {"family": "food"}, "name": "", "exact": false, "role": "", "words": 0.0, "probability": null}]}, \
"of": {"skills": 60}, "note": {"skills": "Scores order the targets of one query: they are not probabilities, and do \
not compare between queries, models or scorers."}}
    >>> print(json_line(Answer(2, error="Query 2 is empty.")))
    {"number": 2, "error": "Query 2 is empty."}
    """
    if answer.error:
        return json_text({"number": answer.number, "error": answer.error})
    content = {
        "number": answer.number,
        "query": answer.query,
        "hits": {name: [hit.to_dict() for hit in hits] for name, hits in answer.hits.items()},
    }
    content["of"] = {name: hits.total for name, hits in answer.hits.items()}
    for key in ("note", "none"):
        if said := {name: getattr(hits, key) for name, hits in answer.hits.items() if getattr(hits, key)}:
            content[key] = said
    if answer.explanations:
        content["explanations"] = {
            name: {**each.to_dict(), "rank": 1, "of": answer.hits[name].total}
            for name, each in answer.explanations.items()
        }
    return json_text(content)


def readable(answer: Answer, show: Sequence[str] = ()) -> str:
    """Returns a table of hits per index with some further columns, and the explanation of its best hit, if any."""
    if answer.error:
        return f"{answer.error}\n"
    lines = []
    for name, hits in answer.hits.items():
        table = hits.table(name, show=show)
        none = f"none of these in {name}. {hits.none}" if hits.none else f"no targets in {name}"
        lines.append(render_table(table) if hits else f"{answer.query}: {none}")
        if name in answer.explanations:
            first, of = hits[0], f", the best of {hits.total:,}" if hits.total else ""
            why = answer.explanations[name].table()
            lines.append(f"Why {shorten(first.text)}{_matched(first)}{of}:\n{why}")
    return "\n".join(lines) + "\n"


def _matched(hit: Hit) -> str:
    """Returns the name that matched a target where it is not the label, and whether the query equals it.

    >>> _matched(Hit("s4", "cook", 0.5, name="chef", role="alternative", exact=True))
    ", by its name 'chef' (exact name)"
    """
    kind = "description" if hit.role == DESCRIPTION else "name"
    return (f", by its {kind} {shorten(hit.name)}" if hit.name else "") + (" (exact name)" if hit.exact else "")


@contextmanager
def answer_file(path: Path, columns: Sequence[str]) -> Iterator[Callable[[Answer], None]]:
    """Yields a writer of answers; the file appears, or replaces an earlier one, when all are in it.

    A row of a CSV is a hit with its further columns, called `columns.NAME` where the file has a column of that name; a
    query without a hit in an index, with the reason as `none`; or an error with the number of its query. Numbers are
    those of lines, rows or arguments; ranks count from 1.

    Args:
      path: ends in .jsonl or .csv.
      columns: further columns of any index.

    Raises:
      UserError: the file cannot be written, or is a folder.
      OSError: the disk is full; an earlier file is unchanged.
    """
    if path.is_dir():
        raise UserError(f"--out {path} is a folder. Name a file.")
    with (
        replacing(path, advice="name another file with --out") as new,
        new.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        if path.suffix.lower() == ".jsonl":
            yield lambda answer: print(json_line(answer), file=file)
            return
        writer = csv.writer(file, lineterminator="\n")
        own = (*_FIELDS, _NONE, _ERROR)
        writer.writerow([*_FIELDS, *(f"columns.{name}" if name in own else name for name in columns), _NONE, _ERROR])
        yield lambda answer: writer.writerows(_rows(answer, columns))


def _rows(answer: Answer, columns: Sequence[str]) -> Iterator[list[object]]:
    if answer.error:
        yield [answer.number, *[""] * (len(_FIELDS) + len(columns)), answer.error]
    for name, hits in answer.hits.items():
        if not hits:
            filled = {"number": answer.number, "query": answer.query, "index": name, "of": hits.total}
            yield [*(filled.get(field, "") for field in _FIELDS), *[""] * len(columns), hits.none, ""]
        for place, hit in enumerate(hits, 1):
            values = [hit.columns.get(column, "") for column in columns]
            found = {key: value for key, value in hit.to_dict().items() if key != "columns"}
            found["exact"] = str(hit.exact).lower()
            yield [answer.number, answer.query, name, place, *found.values(), hits.total, *values, "", ""]
