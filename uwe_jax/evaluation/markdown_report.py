"""Writes results.md: the tables of a paper from one results.json, or from several joined ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from uwe_jax.evaluation.aggregate import (
    Results,
    every_result,
    interval_of,
    is_in_domain,
    measured_tasks,
    metric_names,
)
from uwe_jax.evaluation.headline import further_table, headline
from uwe_jax.evaluation.reference import IN_DOMAIN_MEANING, group_title, metric_title
from uwe_jax.runtime.markdown import MISSING, bold_best, escape, markdown_rows, signed
from uwe_jax.runtime.printable import json_text
from uwe_jax.runtime.progress import duration

_COUNTS = ("queries", "targets", "edges")


def markdown(results: Results) -> str:
    """Returns the page: WorkBench beside the paper, other tasks, every metric, long tail, leakage, settings."""
    reference = next((found["difference"]["to"] for found in every_result(results) if "difference" in found), "")
    sections: list[tuple[str, Callable[[Results], str]]] = [
        ("WorkBench", headline),
        ("Other target spaces", further_table),
        ("Tasks", _tasks),
        ("All metrics", _metrics),
        (f"Differences to {escape(reference)}", _differences),
        ("Long tail", _long_tail),
        ("Leakage", _leakage),
        ("Skipped", _skipped),
        ("Models", _models),
        ("Settings", _settings),
    ]
    models, tasks = len(results["models"]), len(measured_tasks(results))
    parts = [
        "# Results",
        f"{models:,} {'model' if models == 1 else 'models'} on {tasks:,} {'task' if tasks == 1 else 'tasks'}, each "
        f"ranked against its full target space; percent. Made by uwe_jax {escape(results['version'])}.",
    ]
    if not results.get("complete", True):
        parts.append("**Incomplete**: the evaluation is still running, or it was stopped before its end.")
    for title, section in sections:
        if content := section(results):
            parts += [f"## {title}", content]
    return "\n\n".join(parts) + "\n"


def _tasks(results: Results) -> str:
    rows = []
    for task in (results["tasks"][name] for name in measured_tasks(results)):
        group = group_title(task["group"]) if task["group"] else MISSING
        texts = (task["split"], task["origin"], "; ".join(task["notes"]))
        rows.append([escape(task["title"]), group, *(f"{task[count]:,}" for count in _COUNTS), *map(escape, texts)])
    header = ("task", "WorkBench task", *_COUNTS, "split", "origin", "notes")
    return markdown_rows(header, rows, left=(0, 1, 5, 6, 7)) if rows else ""


def _metrics(results: Results) -> str:
    names = metric_names(results)
    some = any(result.get("intervals") for result in every_result(results))
    parts = ["In brackets the 95 % interval."] if some else []
    for model, entry in results["models"].items():
        done = entry["results"]
        rows = [
            [escape(results["tasks"][task]["title"]), *(_with_interval(done[task], name) for name in names)]
            for task in measured_tasks(results)
            if task in done
        ]
        if rows:
            parts += [f"### {escape(model)}", markdown_rows(("task", *map(metric_title, names)), rows)]
    return "\n\n".join(parts)


def _with_interval(result: Mapping[str, Any], name: str) -> str:
    if name not in result["metrics"]:
        return MISSING
    interval = interval_of(result, name)
    return f"{result['metrics'][name]:.2f}" + (f" [{interval[0]:.2f}, {interval[1]:.2f}]" if interval else "")


def _differences(results: Results) -> str:
    models = {
        model: found
        for model, entry in results["models"].items()
        if (
            found := {
                task: each["difference"]["map"] for task, each in entry["results"].items() if "difference" in each
            }
        )
    }
    rows = [
        [escape(results["tasks"][task]["title"]), *(_difference(found.get(task)) for found in models.values())]
        for task in measured_tasks(results)
        if any(task in found for found in models.values())
    ]
    if not rows:
        return ""
    return (
        "Points of MAP over the same queries; in brackets the 95 % interval of the paired bootstrap, bold where it "
        "excludes 0.\n\n" + markdown_rows(("task", *map(escape, models)), rows)
    )


def _difference(found: Sequence[float] | None) -> str:
    if found is None:
        return MISSING
    mean, low, high = found
    cell = f"{signed(mean, 2)} [{signed(low, 2)}, {signed(high, 2)}]"
    return f"**{cell}**" if low > 0 or high < 0 else cell


def _long_tail(results: Results) -> str:
    rows = []
    for task in measured_tasks(results):
        measured = [model["results"].get(task) or {"long_tail": []} for model in results["models"].values()]
        tails = [{row["relevant_for"]: row for row in result["long_tail"]} for result in measured]
        for bucket in dict.fromkeys(bucket for tail in tails for bucket in tail):
            found = [tail.get(bucket) for tail in tails]
            pairs = next(row["pairs"] for row in found if row)
            best = bold_best([row["map"] if row else None for row in found])
            rows.append([escape(results["tasks"][task]["title"]), escape(bucket), f"{pairs:,}", *best])
    if not rows:
        return ""
    header = ("task", "right answer to so many queries", "pairs", *map(escape, results["models"]))
    return (
        "MAP by how often a target is relevant: the precision at the rank of a right answer, averaged over all pairs "
        "of a query and a target that is relevant for so many queries.\n\n" + markdown_rows(header, rows, left=(0, 1))
    )


def _leakage(results: Results) -> str:
    rows, unknown = [], []
    for model, entry in results["models"].items():
        done = entry["results"]
        if any(not result["leakage"] for result in done.values()):
            unknown.append(escape(model))
        for task in measured_tasks(results):
            if task in done and (leakage := done[task]["leakage"]):
                info = results["tasks"][task]
                domain = f"**{leakage['domain']}**" if is_in_domain(done[task]) else leakage["domain"]
                shares = [f"{leakage[name]:,} ({100 * leakage[name] / info[name]:.2f} %)" for name in _COUNTS]
                rows.append([escape(model), escape(info["title"]), domain, *shares])
    parts = []
    if rows:
        parts += [
            "Queries, targets and query-target edges of each task that are in the graphs that the model was trained "
            f"on. In-domain means that {IN_DOMAIN_MEANING}.",
            markdown_rows(("model", "task", "domain", *_COUNTS), rows, left=(0, 1, 2)),
        ]
    if unknown:
        parts.append(f"No training graphs are known, so nothing was counted: {', '.join(unknown)}.")
    return "\n\n".join(parts)


def _skipped(results: Results) -> str:
    rows = [[escape(skip["task"]), escape(skip["reason"])] for skip in results["skipped"]]
    return markdown_rows(("task", "reason"), rows, left=(0, 1)) if rows else ""


def _models(results: Results) -> str:
    rows = []
    for name, entry in results["models"].items():
        seconds = [entry["seconds"].get(part) for part in ("encode", "total")]
        times = [MISSING if each is None else duration(each) for each in seconds]
        rows.append([escape(name), escape(entry["spec"]), escape(entry["description"]), *times])
    return markdown_rows(("model", "given as", "what it is", "encoding", "in all"), rows, left=(0, 1, 2))


def _settings(results: Results) -> str:
    # An indented block, which no setting can end.
    lines = json_text(results["settings"], indent=2).splitlines()
    return "\n".join(f"    {line}" for line in lines)
