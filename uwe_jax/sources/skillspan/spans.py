"""The skills and the knowledge that SkillSpan's annotators marked, with the sentences they stand in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from uwe_jax.data.graph import Edge
from uwe_jax.data.text import normalise
from uwe_jax.sources.notes import counted
from uwe_jax.sources.tables.problems import Problems
from uwe_jax.sources.tables.typed_rows import read_rows
from uwe_jax.sources.vacancies.sentences import MAX_CHARACTERS, MIN_WORDS, length_problem

# Column of the tags, and what an edge's relation is called.
_TAGS = {"tags_skill": "skill", "tags_knowledge": "knowledge"}
_LEAST = 3  # characters of a span; shorter ones are letters such as R and C
_MASK = "<"  # opens what the publisher put in the place of names, as in <ORGANIZATION>


def spans(tokens: Sequence[str], tags: Sequence[str]) -> Iterator[str]:
    """Texts of the spans of B, I and O tags. An I without a B before it opens a span as well.

    >>> list(spans(["You", "plan", "shifts", "weld"], ["O", "B", "I", "B"]))
    ['plan shifts', 'weld']
    """
    span: list[str] = []
    for token, tag in zip((*tokens, ""), (*tags, "O"), strict=True):
        if span and not tag.startswith("I"):
            yield normalise(" ".join(span))
            span = []
        if not tag.startswith("O"):
            span.append(token)


def read_span_edges(path: Path) -> tuple[list[Edge], list[str]]:
    """An edge per sentence and span that was marked in it: the span's text stands for a skill.

    Returns:
      The edges, and phrases on what was left out.

    Raises:
      UserError: broken rows, tags that are not one a token among them.
    """
    problems = Problems(str(path))
    edges: dict[Edge, None] = {}
    left_out = short = 0
    for place, row in read_rows(path, path.name, {"tokens": "texts", **dict.fromkeys(_TAGS, "texts")}, problems):
        tokens = row["tokens"]
        uneven = {column: len(row[column]) for column in _TAGS if len(row[column]) != len(tokens)}
        if uneven:
            problems.add(place, f"{len(tokens)} tokens and {uneven}", "one tag a token")
            continue
        sentence = normalise(" ".join(tokens))
        found = [
            Edge("", span, "", sentence, kind) for column, kind in _TAGS.items() for span in spans(tokens, row[column])
        ]
        if found and length_problem(sentence):
            left_out += 1
            continue
        kept = [edge for edge in found if len(edge.left_text) >= _LEAST and _MASK not in edge.left_text]
        short += len(found) - len(kept)
        edges.update(dict.fromkeys(kept))
    problems.check()
    lengths = f"less than {MIN_WORDS} words or more than {MAX_CHARACTERS} characters"
    return list(edges), [
        *counted(left_out, f"sentences with spans of {lengths} left out"),
        *counted(short, f"spans of less than {_LEAST} characters or with masked names left out"),
    ]
