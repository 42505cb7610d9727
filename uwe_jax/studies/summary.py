"""Results of the cells of a grid, and their means over seeds by row, task and metric."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from uwe_jax.evaluation.aggregate import group_means, is_in_domain, macro_average
from uwe_jax.studies.cell import Cell

T = TypeVar("T")
MACRO = "macro"
DONE, FAILED, PENDING = "done", "failed", "pending"
SECTIONS = ("results", "held_out")

Metrics = dict[str, dict[str, float]]  # metrics in percent, by task; MACRO is among the tasks
Summary = dict[str, Any]


@dataclass(frozen=True)
class Scores:
    """Scores of one trained model or frozen encoder."""

    results: Metrics  # on the tasks of the evaluation, without a macro-average
    held_out: Metrics  # on held-out nodes of its own training graphs
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)  # entries of results.json
    in_domain: frozenset[str] = frozenset()  # tasks that have edges in the training graphs
    skipped: tuple[dict[str, str], ...] = ()  # tasks that could not be measured, with the reason


class Outcome(NamedTuple):
    """Outcome of a cell: DONE with its scores, FAILED with the reason in one line, or PENDING."""

    status: str
    scores: Scores | None = None
    reason: str = ""


def read_scores(folder: Path) -> Scores:
    """Reads the results in the folder of a cell.

    Raises:
      ValueError: a file is damaged or incomplete.
    """
    summary, evaluation = folder / "training" / "summary.json", folder / "evaluation" / "results.json"
    held_out = _read(summary, _held_out) if summary.exists() else {}
    if not evaluation.exists():
        return Scores({}, held_out)
    return dataclasses.replace(_read(evaluation, _evaluation), held_out=held_out)


def _read(path: Path, interpret: Callable[[dict[str, Any]], T]) -> T:
    try:
        return interpret(json.loads(path.read_text(encoding="utf-8")))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged or incomplete ({error!r}).") from error


def _evaluation(content: dict[str, Any]) -> Scores:
    if not content.get("complete", True):
        raise ValueError("the evaluation did not finish")
    (model,) = content["models"].values()
    results = {name: dict(result["metrics"]) for name, result in model["results"].items()}
    tasks = {name: content["tasks"][name] for name in results}
    in_domain = frozenset(name for name, result in model["results"].items() if is_in_domain(result))
    return Scores(results, {}, tasks, in_domain, tuple(content["skipped"]))


def _held_out(summary: dict[str, Any]) -> Metrics:
    """Returns the table of a training run by ranking, its macro-average under MACRO."""
    after = summary["after"]
    if not after:  # nothing was held out
        return {}
    metrics = {
        name: {"map": each["map"], "rp@10": each["rp@10"]} for name, each in after.items() if isinstance(each, dict)
    }
    return {**metrics, MACRO: {"map": after["macro_map"], "rp@10": after["macro_rp@10"]}}


def summarise(
    cells: Sequence[Cell], outcomes: Sequence[Outcome], descriptions: Mapping[str, str], baseline: str
) -> Summary:
    """Joins the outcomes of the first cells; those without one are pending.

    The macro-average is over the tasks that every evaluated cell has a result on, so that all are comparable.

    Args:
      cells: of the grid.
      outcomes: in the order of the cells.
      descriptions: of every row, by name.
      baseline: the row that all are compared with.

    Returns:
      JSON values: `tasks` and `skipped` as in results.json; `not_in_macro`, tasks of WorkBench that only some cells
      have a result on; `rows` by name with `description`, `cells` (seed, status, reason, folder), `in_domain` (tasks)
      and, under `results` and `held_out`, by task and metric the `values` by seed, their `mean`, their sample standard
      `deviation` (None for one seed), and `difference` of the mean to the baseline's, None where either is missing.
    """
    measured = [outcome.scores for outcome in outcomes if outcome.scores]
    tasks = {name: task for scores in measured for name, task in scores.tasks.items()}
    only_some = {name for name in tasks if any(scores.tasks and name not in scores.tasks for scores in measured)}
    rows: dict[str, Any] = {}
    pending = [Outcome(PENDING)] * (len(cells) - len(outcomes))
    joined = list(zip(cells, [*outcomes, *pending], strict=True))
    for name, description in descriptions.items():
        mine = [(cell, outcome) for cell, outcome in joined if cell.name == name]
        done = [outcome.scores for _, outcome in mine if outcome.scores]
        rows[name] = {
            "description": description,
            "cells": [
                {"seed": cell.seed, "status": outcome.status, "reason": outcome.reason, "folder": str(cell.folder)}
                for cell, outcome in mine
            ],
            "in_domain": sorted({task for scores in done for task in scores.in_domain}),
            "results": _means([_with_macro(scores, only_some) for scores in done]),
            "held_out": _means([scores.held_out for scores in done]),
        }
    for row in rows.values():
        for section in SECTIONS:
            reference = rows[baseline][section] if baseline in rows else {}
            for task, metrics in row[section].items():
                for metric, found in metrics.items():
                    other = reference.get(task, {}).get(metric)
                    found["difference"] = found["mean"] - other["mean"] if other else None
    return {
        "baseline": baseline,
        "tasks": tasks,
        "skipped": list({each["task"]: each for scores in measured for each in scores.skipped}.values()),
        "not_in_macro": [name for name in tasks if name in only_some and tasks[name]["group"]],
        "rows": rows,
    }


def _with_macro(scores: Scores, without: set[str]) -> Metrics:
    measured = {name: {"metrics": metrics} for name, metrics in scores.results.items()}
    macro = macro_average(group_means(scores.tasks, measured, without))
    return {**scores.results, **({MACRO: macro} if macro else {})}


def _means(seeds: Sequence[Metrics]) -> dict[str, dict[str, dict[str, Any]]]:
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for task in dict.fromkeys(task for each in seeds for task in each):
        measured = [each[task] for each in seeds if task in each]
        for metric in measured[0]:
            values = [each[metric] for each in measured if metric in each]
            deviation = statistics.stdev(values) if len(values) > 1 else None
            entry = {"values": values, "mean": statistics.fmean(values), "deviation": deviation}
            found.setdefault(task, {})[metric] = entry
    return found
