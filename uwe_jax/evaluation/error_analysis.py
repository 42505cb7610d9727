"""Writes the queries that a model ranked worst: the ranks of the right answers and the targets above them."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from uwe_jax.evaluation.measure import scored
from uwe_jax.evaluation.ranker import Score
from uwe_jax.evaluation.tasks.task import RankingTask
from uwe_jax.runtime.files import write_atomically
from uwe_jax.runtime.markdown import MISSING, escape, markdown_rows
from uwe_jax.runtime.printable import json_text

# Right answers that the page shows of a query; the JSON lines hold all.
_MOST_RIGHT = 20

FLAGS = {
    "nothing_right_on_top": "no right answer among the top targets shown",
    "query_is_wrong_target": "the query itself is a target, and not a right answer",
    "same_words_above": "a target of the same words as a right answer ranks above all right ones",
    "tied": "a right answer has the score of another target: position decided",
}


def dump_rankings(
    folder: Path,
    task: RankingTask,
    model_name: str,
    average_precision: np.ndarray,
    score: Score,
    *,
    ndcg: np.ndarray | None = None,
    asked: Sequence[str] = (),
    worst: int = 50,
    top: int = 10,
) -> None:
    """Writes the worst queries of a task, the worst first, equal ones by position.

    `<task>.jsonl` holds one line per query: `model`, `task`, `position` of the query, `query`, `average_precision` in
    percent, `relevant` (all right answers by rank, with `target`, `rank` and `score`, null if infinite), `top` (the
    same, with `relevant`) and `flags`, of `FLAGS`. Where targets have several names, each target has the `name` that
    scored best. `<task>.md` is a page of the same. Targets of equal score are ordered by position, the lower first.

    In tasks of graded relevance a query has its `ndcg`, which orders the queries, and a target its `grade`; the
    `average_precision` of a query without a target of the threshold grade is null.

    Args:
      folder: of both files; one for each model.
      average_precision: of all queries, fractions, float64 [q]; NaN as of `ranking_metrics`.
      score: queries -> scores [k, n] against all targets of the task.
      asked: what the function takes for the queries; empty takes their texts.
      ndcg: of all queries, fractions, float64 [q], where relevance is graded.
      worst: maximum number of queries.
      top: number of the best targets of each.

    Raises:
      UserError: the scores have another shape than [k, targets], or are NaN.
    """
    chosen = np.argsort(average_precision if ndcg is None else ndcg, kind="stable")[:worst]
    queries = [(asked or task.queries)[position] for position in chosen]
    chunks = scored(score, queries, len(task.targets), f"{model_name} on {task.title}")
    matched = getattr(score, "matched", None)  # of targets with several names
    entries = [
        {
            "model": model_name,
            "task": task.name,
            "position": int(position),
            "query": task.queries[position],
            "average_precision": _percent(average_precision[position]),
            **({} if ndcg is None else {"ndcg": _percent(ndcg[position])}),
            **_ranking(task, int(position), scores.astype(np.float64), top, matched),
        }
        for position, scores in zip(chosen, itertools.chain.from_iterable(chunks), strict=True)
    ]
    means = f"MAP is {100 * float(np.nanmean(average_precision)):.2f} %"
    if ndcg is not None:
        means += f" and nDCG {100 * float(ndcg.mean()):.2f} %"
    lines = "".join(json_text(entry) + "\n" for entry in entries)
    write_atomically(folder / f"{task.name}.jsonl", lines.encode())
    write_atomically(folder / f"{task.name}.md", _page(task, model_name, means, entries, top).encode())


def _percent(fraction: float) -> float | None:
    """Converts a fraction; None for NaN, which JSON lacks."""
    return None if math.isnan(fraction) else 100 * float(fraction)


def _ranking(
    task: RankingTask,
    query: int,
    scores: np.ndarray,
    top: int,
    matched: Callable[[str, Sequence[int]], list[str]] | None,
) -> dict[str, Any]:
    order = np.argsort(-scores, kind="stable")
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(1, len(order) + 1)
    relevant = task.relevant[[query]]
    right = dict(zip(relevant.indices.tolist(), relevant.data.tolist(), strict=True))
    told = [*right, *order[:top].tolist()]
    names = dict(zip(told, matched(task.queries[query], told), strict=True)) if matched else {}

    def entry(position: int) -> dict[str, Any]:
        value = float(scores[position])
        # JSON has no infinity.
        shown = value if math.isfinite(value) else None
        found = {"target": task.targets[position], "rank": int(ranks[position]), "score": shown}
        if task.grades is not None:
            found["grade"] = right.get(position, 0)
        return {**found, "name": names[position]} if names else found

    answers = sorted(map(entry, right), key=lambda each: each["rank"])
    above = [task.targets[position] for position in order[: answers[0]["rank"] - 1]]
    wording = {_words(each["target"]) for each in answers}
    itself = task.queries[query].casefold()
    shared = Counter(scores.tolist())
    flags = {
        "nothing_right_on_top": answers[0]["rank"] > top,
        "query_is_wrong_target": any(
            target.casefold() == itself and position not in right for position, target in enumerate(task.targets)
        ),
        "same_words_above": any(_words(target) in wording for target in above),
        "tied": any(shared[float(scores[position])] > 1 for position in right),
    }
    return {
        "relevant": answers,
        "top": [{**entry(position), "relevant": position in right} for position in order[:top].tolist()],
        "flags": [name for name, raised in flags.items() if raised],
    }


def _words(text: str) -> tuple[str, ...]:
    """Returns words regardless of case, order and punctuation: annotators choose among such labels by chance."""
    return tuple(sorted(re.findall(r"\w+", text.casefold())))


def _page(task: RankingTask, model_name: str, means: str, entries: Sequence[Mapping[str, Any]], top: int) -> str:
    counts = Counter(flag for entry in entries for flag in entry["flags"])
    parts = [
        f"# {escape(task.title)}: what {escape(model_name)} ranked worst",
        f"The {len(entries):,} worst of {len(task.queries):,} queries by "
        f"{'average precision' if task.grades is None else 'nDCG'}, against {len(task.targets):,} targets; over all "
        f"queries {means}. Split {escape(task.split)}, "
        f"{escape(task.origin)}.",
    ]
    if counts:
        shown = [f"- {counts[flag]:,} of {len(entries):,}: {FLAGS[flag]}" for flag in FLAGS if counts[flag]]
        parts.append("\n".join(shown))
    columns = ("rank", "score", *([] if task.grades is None else ["grade"]))
    for number, entry in enumerate(entries, 1):
        relevant = entry["relevant"]
        values = (("nDCG", entry.get("ndcg")), ("Average precision", entry["average_precision"]))
        sentences = [f"{name} {value:.2f} %" for name, value in values if value is not None]
        sentences += [FLAGS[flag].capitalize() for flag in entry["flags"]]
        parts += [
            f"## {number}. {escape(entry['query'])}",
            " ".join(f"{sentence}." for sentence in sentences),
            markdown_rows(("right answer", *columns), map(_row, relevant[:_MOST_RIGHT])),
        ]
        if (more := len(relevant) - _MOST_RIGHT) > 0:
            parts.append(f"{more:,} more, down to rank {relevant[-1]['rank']:,}.")
        rows = [[*_row(found), "right" if found["relevant"] else ""] for found in entry["top"]]
        parts.append(markdown_rows((f"top {top:,}", *columns, ""), rows))
    return "\n\n".join(parts) + "\n"


def _row(found: Mapping[str, Any]) -> list[str]:
    score = MISSING if found["score"] is None else f"{found['score']:.4f}"
    name = found.get("name", found["target"])
    text = escape(found["target"]) + (f" ({escape(name)})" if name != found["target"] else "")
    return [text, f"{found['rank']:,}", score, *([str(found["grade"])] if "grade" in found else [])]
