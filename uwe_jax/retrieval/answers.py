"""Answers to queries as they are written: JSON lines for programs, tables for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from uwe_jax.retrieval.explanation import Explanation
from uwe_jax.retrieval.hits import Hits
from uwe_jax.retrieval.queries_in import Query
from uwe_jax.retrieval.store.searchable import Hit
from uwe_jax.runtime.printable import json_text
from uwe_jax.sources.tables.problems import shorten


@dataclass(frozen=True)
class Answer:
    """What was found for a query.

    Attributes:
      query: or what is wrong with it.
      hits: best first, by the name of their space; none where there is a problem.
      explanations: of the best hit of every space, by its name; empty where none was asked for.
    """

    query: Query
    hits: Mapping[str, list[Hit]] = field(default_factory=dict)
    explanations: Mapping[str, Explanation] = field(default_factory=dict)


def json_line(answer: Answer) -> str:
    """One JSON object on one line.

    `number` is that of the line, row or argument; beside it stands `error`, a sentence, or `query` and `hits`, a list
    of `id`, `text`, `score` and `columns` by the name of their space; and `explanations` by the same names where they
    were asked for, each as of `Explanation.to_dict`.

    >>> print(json_line(Answer(Query(1, "chef"), {"skills": [Hit("s4", "cook", 0.5, {"family": "food"})]})))
    {"number": 1, "query": "chef", "hits": {"skills": [{"id": "s4", "text": "cook", "score": 0.5, \
"columns": {"family": "food"}}]}}
    >>> print(json_line(Answer(Query(2, "", "Query 2 is empty."))))
    {"number": 2, "error": "Query 2 is empty."}
    """
    if answer.query.problem:
        return json_text({"number": answer.query.number, "error": answer.query.problem})
    content = {
        "number": answer.query.number,
        "query": answer.query.text,
        "hits": {name: [hit.to_dict() for hit in hits] for name, hits in answer.hits.items()},
    }
    if answer.explanations:
        content["explanations"] = {name: each.to_dict() for name, each in answer.explanations.items()}
    return json_text(content)


def readable(answer: Answer, show: Sequence[str] = ()) -> str:
    """Lines for a person: a table of hits for every space, and under it the explanation of the best one.

    Args:
      answer: to a query.
      show: further columns of the table.
    """
    # Imported here: programs that read JSON lines do without.
    from uwe_jax.runtime.text_table import render_table

    if answer.query.problem:
        return f"{answer.query.problem}\n"
    lines = []
    for name, hits in answer.hits.items():
        table = Hits(hits, answer.query.text).table(f" in {name}", show=show)
        lines.append(render_table(table) if hits else f"{answer.query.text}: no targets in {name}")
        if name in answer.explanations:
            lines.append(f"Why {shorten(hits[0].text)}:\n{answer.explanations[name].table()}")
    return "\n".join(lines) + "\n"
