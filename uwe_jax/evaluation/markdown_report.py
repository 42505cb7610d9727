"""results.md: the tables of a paper from one results.json, or from several joined ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from uwe_jax.evaluation.aggregate import (
    Results,
    compared_with,
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


def markdown(results: Results) -> str:
    """The whole page: WorkBench beside the paper, other target spaces, every metric, long tail, leakage, settings."""
    sections: list[tuple[str, Callable[[Results], str]]] = [
        ("WorkBench", headline),
        ("Other target spaces", further_table),
        ("Tasks", _tasks),
        ("All metrics", _metrics),
        (f"Differences to {escape(compared_with(results))}", _differences),
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
    for name in measured_tasks(results):
        task = results["tasks"][name]
        rows.append(
            [
                escape(task["title"]),
                group_title(task["group"]) if task["group"] else MISSING,
                *(f"{task[count]:,}" for count in ("queries", "targets", "edges")),
                escape(task["split"]),
                escape(task["origin"]),
                escape("; ".join(task["notes"])),
            ]
        )
    header = ("task", "WorkBench task", "queries", "targets", "edges", "split", "origin", "notes")
    return markdown_rows(header, rows, left=(0, 1, 5, 6, 7)) if rows else ""


def _metrics(results: Results) -> str:
    names = metric_names(results)
    every = [result for entry in results["models"].values() for result in entry["results"].values()]
    parts = ["In brackets the 95 % interval."] if any(result.get("intervals") for result in every) else []
    for model, entry in results["models"].items():
        rows = [
            [
                escape(results["tasks"][task]["title"]),
                *(_with_interval(entry["results"][task], name) for name in names),
            ]
            for task in measured_tasks(results)
            if task in entry["results"]
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
        model: entry["results"]
        for model, entry in results["models"].items()
        if any("difference" in result for result in entry["results"].values())
    }
    rows = [
        [escape(results["tasks"][task]["title"]), *(_difference(done.get(task)) for done in models.values())]
        for task in measured_tasks(results)
        if any("difference" in done.get(task, {}) for done in models.values())
    ]
    if not rows:
        return ""
    return (
        "Points of MAP over the same queries; in brackets the 95 % interval of the paired bootstrap, bold where it "
        "holds no 0.\n\n" + markdown_rows(("task", *map(escape, models)), rows)
    )


def _difference(result: Mapping[str, Any] | None) -> str:
    if not result or "difference" not in result:
        return MISSING
    mean, low, high = result["difference"]["map"]
    cell = f"{signed(mean, 2)} [{signed(low, 2)}, {signed(high, 2)}]"
    return f"**{cell}**" if low > 0 or high < 0 else cell


def _long_tail(results: Results) -> str:
    models = list(results["models"].values())
    rows = []
    for task in measured_tasks(results):
        tails = [_by_frequency(model["results"].get(task)) for model in models]
        buckets = list(dict.fromkeys(bucket for tail in tails for bucket in tail))
        for bucket in buckets:
            found = [tail.get(bucket) for tail in tails]
            rows.append(
                [
                    escape(results["tasks"][task]["title"]),
                    escape(bucket),
                    f"{next(row['pairs'] for row in found if row):,}",
                    *bold_best([row["map"] if row else None for row in found]),
                ]
            )
    if not rows:
        return ""
    header = ("task", "right answer to so many queries", "pairs", *map(escape, results["models"]))
    return (
        "MAP by how often a target is relevant: the precision at the rank of a right answer, averaged over all pairs "
        "of a query and a target that is relevant for so many queries.\n\n" + markdown_rows(header, rows, left=(0, 1))
    )


def _by_frequency(result: Mapping[str, Any] | None) -> dict[str, Mapping[str, Any]]:
    return {row["relevant_for"]: row for row in result["long_tail"]} if result else {}


def _leakage(results: Results) -> str:
    counts = ("queries", "targets", "edges")
    rows = []
    for model, entry in results["models"].items():
        for task in measured_tasks(results):
            result = entry["results"].get(task)
            if result and (leakage := result["leakage"]):
                info = results["tasks"][task]
                domain = f"**{leakage['domain']}**" if is_in_domain(result) else leakage["domain"]
                shares = [_share(leakage[count], info[count]) for count in counts]
                rows.append([escape(model), escape(info["title"]), domain, *shares])
    unknown = [
        escape(model)
        for model, entry in results["models"].items()
        if any(not result["leakage"] for result in entry["results"].values())
    ]
    parts = []
    if rows:
        parts += [
            "How many of a task's queries, targets and query-target edges stand in the graphs that the model was "
            f"trained on. In-domain means that {IN_DOMAIN_MEANING}.",
            markdown_rows(("model", "task", "domain", *counts), rows, left=(0, 1, 2)),
        ]
    if unknown:
        parts.append(f"No training graphs are known, so nothing was counted: {', '.join(unknown)}.")
    return "\n\n".join(parts)


def _share(part: int, whole: int) -> str:
    return f"{part:,} ({100 * part / whole:.2f} %)"


def _skipped(results: Results) -> str:
    rows = [[escape(skip["task"]), escape(skip["reason"])] for skip in results["skipped"]]
    return markdown_rows(("task", "reason"), rows, left=(0, 1)) if rows else ""


def _models(results: Results) -> str:
    rows: list[Sequence[str]] = [
        [
            escape(name),
            escape(entry["spec"]),
            escape(entry["description"]),
            *(
                duration(entry["seconds"][part]) if part in entry["seconds"] else MISSING
                for part in ("encode", "total")
            ),
        ]
        for name, entry in results["models"].items()
    ]
    return markdown_rows(("model", "given as", "what it is", "encoding", "in all"), rows, left=(0, 1, 2))


def _settings(results: Results) -> str:
    # An indented block: nothing that a setting holds can end it.
    lines = json_text(results["settings"], indent=2).splitlines()
    return "\n".join(f"    {line}" for line in lines)
