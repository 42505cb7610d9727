"""All cells of a grid in one: means over seeds by row, task and metric, and how far they are from the baseline."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from uwe_jax.experiments.cell import Cell
from uwe_jax.experiments.grid import PENDING, Outcome
from uwe_jax.experiments.scores import Metrics

Summary = dict[str, Any]
SECTIONS = ("results", "held_out")


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean, and the standard deviation of the sample (n - 1); None for a single value.

    >>> mean_and_deviation([1.0, 2.0, 3.0]), mean_and_deviation([4.0])
    ((2.0, 1.0), (4.0, None))
    """
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def summarise(
    cells: Sequence[Cell], outcomes: Sequence[Outcome], descriptions: Mapping[str, str], baseline: str
) -> Summary:
    """Joins the outcomes of the first cells; those without one are pending.

    Args:
      cells: of the grid.
      outcomes: in the order of the cells.
      descriptions: of every row, by name.
      baseline: the row that all are compared with.

    Returns:
      JSON values: `tasks` and `skipped` as results.json has them; `rows` by name with `description`, `cells` (seed,
      status, reason, folder), `in_domain` (tasks) and, under `results` and `held_out`, by task and metric the `values`
      by seed, their `mean` and `deviation`, and `difference` of the mean to the baseline's, None where either is
      missing.
    """
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
            **{section: _means([getattr(scores, section) for scores in done]) for section in SECTIONS},
        }
    for row in rows.values():
        for section in SECTIONS:
            _compare(row[section], rows[baseline][section] if baseline in rows else {})
    measured = [outcome.scores for outcome in outcomes if outcome.scores]
    tasks = {name: task for scores in measured for name, task in scores.tasks.items()}
    skipped = {each["task"]: each for scores in measured for each in scores.skipped}
    return {"baseline": baseline, "tasks": tasks, "skipped": list(skipped.values()), "rows": rows}


def _means(seeds: Sequence[Metrics]) -> dict[str, dict[str, dict[str, Any]]]:
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for task in dict.fromkeys(task for each in seeds for task in each):
        measured = [each[task] for each in seeds if task in each]
        for metric in measured[0]:
            values = [each[metric] for each in measured if metric in each]
            mean, deviation = mean_and_deviation(values)
            found.setdefault(task, {})[metric] = {"values": values, "mean": mean, "deviation": deviation}
    return found


def _compare(ours: dict[str, dict[str, dict[str, Any]]], theirs: dict[str, dict[str, dict[str, Any]]]) -> None:
    for task, metrics in ours.items():
        for metric, found in metrics.items():
            other = theirs.get(task, {}).get(metric)
            found["difference"] = found["mean"] - other["mean"] if other else None
