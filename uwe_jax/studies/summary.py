"""Results of the cells of a grid, their means over seeds by row, task and metric, and tables of them."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from uwe_jax.curation.describe.section import Grid, Section
from uwe_jax.evaluation.aggregate import group_means, is_in_domain, macro_average
from uwe_jax.evaluation.reference import IN_DOMAIN_MARK, IN_DOMAIN_MEANING
from uwe_jax.runtime.markdown import MISSING, escape, signed
from uwe_jax.studies.cell import Cell

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
    """Reads the results in the folder of a cell. Raises ValueError: a file is damaged or incomplete."""
    path = folder / "training" / "summary.json"
    try:
        held_out = _held_out(json.loads(path.read_bytes())) if path.exists() else {}
        path = folder / "evaluation" / "results.json"
        return _scores(json.loads(path.read_bytes()), held_out) if path.exists() else Scores({}, held_out)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged or incomplete ({error!r}).") from error


def _scores(content: dict[str, Any], held_out: Metrics) -> Scores:
    if not content.get("complete", True):
        raise ValueError("the evaluation did not finish")
    (model,) = content["models"].values()
    results = {name: dict(result["metrics"]) for name, result in model["results"].items()}
    tasks = {name: content["tasks"][name] for name in results}
    in_domain = frozenset(name for name, result in model["results"].items() if is_in_domain(result))
    return Scores(results, held_out, tasks, in_domain, tuple(content["skipped"]))


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
    macro = macro_average(group_means(scores.tasks, measured, without, mean="all"))
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


def columns(summary: Summary, section: str) -> list[str]:
    """Returns the tasks that any row has a result on, the macro-average last."""
    found = dict.fromkeys(task for row in summary["rows"].values() for task in row[section])
    return [task for task in found if task != MACRO] + [MACRO] * (MACRO in found)


def column_title(summary: Summary, task: str) -> str:
    """Returns the title of a task."""
    known = {**summary["tasks"], MACRO: {"title": "macro-average"}}
    return known[task]["title"] if task in known else task.replace("_", " ")


def row_title(summary: Summary, name: str) -> str:
    """Returns a row's name, with the numbers of its failed and pending seeds."""
    cells = summary["rows"][name]["cells"]
    lacking = [
        f"{count} of {len(cells)} {status}"
        for status in dict.fromkeys(cell["status"] for cell in cells)
        if status != DONE and 0 < (count := sum(cell["status"] == status for cell in cells)) < len(cells)
    ]
    return f"{name} ({', '.join(lacking)})" if lacking else name


def status(row: dict[str, Any]) -> str:
    """Returns failed or pending for a row without any result; empty for others."""
    statuses = {cell["status"] for cell in row["cells"]}
    return "" if DONE in statuses else (FAILED if FAILED in statuses else next(iter(statuses), ""))


def matrix(summary: Summary, section: str, metric: str, title: str, *, first: str, relative: bool) -> Section:
    """Tabulates one metric of all rows and tasks of a section, in percent.

    With `relative`, differences to the baseline instead of values, except in the baseline's own row; `first` is the
    header of the column of names.
    """
    tasks = columns(summary, section)
    lines = []
    for name, row in summary["rows"].items():
        if not row[section] and not status(row):
            continue  # such as the frozen encoder, which has no held-out nodes
        is_baseline = name == summary["baseline"]
        cells = []
        for task in tasks:
            found = row[section].get(task, {}).get(metric)
            text = status(row) or MISSING if found is None else _cell(found, is_baseline=is_baseline, relative=relative)
            marked = found is not None and section == "results" and task in row["in_domain"]
            cells.append(f"{text} {IN_DOMAIN_MARK}" if marked else text)
        lines.append([row_title(summary, name), *cells])
    grid = Grid((first, *(column_title(summary, task) for task in tasks)), lines)
    return Section(title, grids=[grid])


def _cell(found: dict[str, Any], *, is_baseline: bool, relative: bool) -> str:
    spread = "" if found["deviation"] is None else f" ± {found['deviation']:.1f}"
    difference = None if is_baseline else found["difference"]
    if relative and difference is not None:
        return f"{signed(difference)}{spread}"
    behind = "" if difference is None else f" ({signed(difference)})"
    return f"{found['mean']:.1f}{spread}{behind}"


def notes(summary: Summary) -> list[str]:
    """Returns remarks on the tables: in-domain results, failures, and skipped tasks."""
    found = []
    if any(row["in_domain"] for row in summary["rows"].values()):
        found.append(f"{IN_DOMAIN_MARK} in-domain: {IN_DOMAIN_MEANING}, so this is not a zero-shot result.")
    if without := summary["not_in_macro"]:
        titles = ", ".join(column_title(summary, task) for task in without)
        found.append(f"The macro-average excludes tasks that only some of the models have a result on: {titles}.")
    for name, row in summary["rows"].items():
        for cell in row["cells"]:
            if cell["status"] == FAILED:
                seed = "" if cell["seed"] is None else f", seed {cell['seed']}"
                found.append(f"{name}{seed} failed: {cell['reason']} (log: {cell['folder']}/log.txt)")
    found += [f"Skipped {each['task']}: {each['reason']}" for each in summary["skipped"]]
    return found


def document(title: str, paragraphs: Sequence[str], tables: Sequence[Section], remarks: Sequence[str]) -> str:
    """Renders a Markdown page."""
    parts = [f"# {escape(title)}", *(escape(text) for text in paragraphs), *(table.markdown() for table in tables)]
    if remarks:
        parts.append("\n".join(f"- {escape(remark)}" for remark in remarks))
    return "\n\n".join(parts) + "\n"
