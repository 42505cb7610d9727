"""Writes results.md: the tables of a paper from one results.json, or from several joined ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from uwe_jax.evaluation.aggregate import Results, ResultsView, interval_of, is_in_domain
from uwe_jax.evaluation.reference import IN_DOMAIN_MARK, IN_DOMAIN_MEANING, PAPER_ROWS, group_title, metric_title
from uwe_jax.evaluation.tasks.task import GROUPS
from uwe_jax.evaluation.terminal import by_reason
from uwe_jax.runtime.markdown import MISSING, bold_best, escape, markdown_rows, signed
from uwe_jax.runtime.memory import gibibytes
from uwe_jax.runtime.printable import json_text
from uwe_jax.runtime.progress import counted, duration

_COUNTS = ("queries", "targets", "edges")


def summary(results: Results) -> str:
    """Returns the measured tasks, differences and what was skipped, for a notebook."""
    view = ResultsView(results)
    metrics = [*dict.fromkeys(("ndcg", *view.headline))] if view.graded else view.headline
    parts = [
        _by_task(view, view.names, metrics) if view.names else "",
        _differences(view),
        _skipped(results["skipped"]),
    ]
    return "\n\n".join([*view.names_note(), *filter(None, parts)])


def markdown(results: Results) -> str:
    """Returns the page: WorkBench beside the paper, other tasks, every metric, long tail, leakage, settings."""
    view = ResultsView(results)
    reference = next((found["difference"]["to"] for found in view.every if "difference" in found), "")
    sections = {
        "WorkBench": _workbench(view),
        "Graded relevance": _graded(view),
        "Other target spaces": _further(view),
        "Classification": _classification(view),
        "Languages": _languages(view),
        "Tasks": _tasks(view),
        "All metrics": _metrics(view),
        f"Differences to {escape(reference)}": _differences(view),
        "Long tail": _long_tail(view),
        "Leakage": _leakage(view),
        "Skipped": _skipped(results["skipped"]),
        "Models": _models(results["models"]),
        # An indented block, which no setting can end.
        "Settings": "\n".join(f"    {line}" for line in json_text(results["settings"], indent=2).splitlines()),
    }
    parts = [
        "# Results",
        f"{counted(len(view.done), 'model')} on {counted(len(view.names), 'task')}, each ranked against its full "
        f"target space; percent. Made by uwe_jax {escape(results['version'])}.",
    ]
    parts += view.names_note()
    if not results.get("complete", True):
        parts.append("**Incomplete**: the evaluation is still running, or it was stopped before its end.")
    parts += [f"## {title}\n\n{content}" for title, content in sections.items() if content]
    return "\n\n".join(parts) + "\n"


def _workbench(view: ResultsView) -> str:
    """Shows models as rows, the six tasks and the macro-averages as columns; a task's sets have their own table."""
    if not view.sets:
        return ""
    columns = {group_title(group): view.group(group).cells(view.headline) for group in GROUPS}
    titles, cells = [*columns], [*columns.values()]
    for title, macro in view.macros().items():
        titles += [title, "over tasks"]
        cells += [macro.cells(view.headline), [f"{count} of {len(GROUPS)}" for count in macro.counts]]
    rows = [["*reported in the paper*", *[""] * len(titles)]]
    for name, figures in PAPER_ROWS.items():
        shown = [_reported(figures.get(column, {}), view.headline) for column in (*GROUPS, "macro")]
        shown.append(f"{len(GROUPS)} of {len(GROUPS)}")
        rows.append([f"*{escape(name)}*", *shown, *[MISSING] * (len(titles) - len(shown))])
    notes = "\n".join(f"- {escape(note)}" for note in view.notes())
    parts = [f"{_legend(view.headline)}.", _by_model(view, titles, cells, rows), notes]
    for group, members in view.sets.items():
        if len(members) > 1:
            parts += [f"### The sets of {group_title(group).lower()}", _by_task(view, members, view.headline)]
    return "\n\n".join(parts)


def _further(view: ResultsView) -> str:
    """Shows models on the tasks outside WorkBench, which count for no macro-average."""
    return _outside(view, [name for name in view.further if name not in view.graded], view.headline)


def _graded(view: ResultsView) -> str:
    """Shows models on the tasks of graded relevance: nDCG with the gain 2^grade - 1, then the headline."""
    metrics = dict.fromkeys(("ndcg", *view.headline))
    return _outside(view, [name for name in view.further if name in view.graded], [*metrics])


def _outside(view: ResultsView, names: Sequence[str], metrics: Sequence[str]) -> str:
    if not names:
        return ""
    marked = not view.in_domain.isdisjoint(names)
    meaning = f"; {IN_DOMAIN_MARK} in-domain: {IN_DOMAIN_MEANING}" if marked else ""
    return f"{_legend(metrics)}{meaning}.\n\n{_by_task(view, names, metrics)}"


def _classification(view: ResultsView) -> str:
    """Shows models as classifiers, where they were measured so."""
    rows = [
        [escape(view.tasks[name]["title"]), escape(model), f"{found['threshold']:g}", *_percents(found["metrics"])]
        for name in view.names
        for model, done in view.done.items()
        if (found := done.get(name, {}).get("classification"))
    ]
    header = ("task", "model", "threshold", "F1", "precision", "recall", "AUC")
    return markdown_rows(header, rows, left=(0, 1)) if rows else ""


def _percents(metrics: Mapping[str, float]) -> list[str]:
    names = ("f1_macro", "precision_macro", "recall_macro", "roc_auc")
    return [f"{metrics[name]:.2f}" if name in metrics else MISSING for name in names]


def _languages(view: ResultsView) -> str:
    """Shows the averages over the tasks of every language, where there are several."""
    means = view.by_language()
    if len(means) < 2:
        return ""
    columns = []
    for of_models in means.values():
        cells = [bold_best([each.get(name) for each in of_models]) for name in view.headline]
        columns.append([" / ".join(cell) for cell in zip(*cells, strict=True)])
    sides = {"query": "query language", "target": "target language"}.get(view.language_mean, "language, monolingual")
    table = _by_model(view, [*means], columns)
    return f"Mean over the tasks of each {sides} tasks; {_legend(view.headline)}.\n\n{table}"


def _legend(metrics: Sequence[str]) -> str:
    return f"{' / '.join(map(metric_title, metrics))}; the best measured value of a column is bold"


def _reported(figures: Mapping[str, float], metrics: Sequence[str]) -> str:
    shown = [f"{figures[name]:.1f}" if name in figures else MISSING for name in metrics]
    return " / ".join(shown) if figures else MISSING


def _by_task(view: ResultsView, names: Sequence[str], metrics: Sequence[str]) -> str:
    columns = [view.column([name]).cells(metrics) for name in names]
    return _by_model(view, [_title(view, name) for name in names], columns)


def _by_model(
    view: ResultsView, titles: Sequence[str], columns: Iterable[Sequence[str]], further: Iterable[Sequence[str]] = ()
) -> str:
    rows = [[escape(model), *cells] for model, *cells in zip(view.done, *columns, strict=True)]
    return markdown_rows(("model", *titles), [*rows, *further])


def _title(view: ResultsView, name: str) -> str:
    return escape(view.tasks[name]["title"])


def _tasks(view: ResultsView) -> str:
    rows = []
    for task in (view.tasks[name] for name in view.names):
        group = group_title(task["group"]) if task["group"] else MISSING
        texts = (task["split"], task["origin"], "; ".join(task["notes"]))
        rows.append([escape(task["title"]), group, *(f"{task[count]:,}" for count in _COUNTS), *map(escape, texts)])
    header = ("task", "WorkBench task", *_COUNTS, "split", "origin", "notes")
    return markdown_rows(header, rows, left=(0, 1, 5, 6, 7)) if rows else ""


def _metrics(view: ResultsView) -> str:
    parts = ["In brackets the 95 % interval."] if any(result.get("intervals") for result in view.every) else []
    for model, done in view.done.items():
        rows = [
            [_title(view, task), *(_with_interval(done[task], name) for name in view.metrics)]
            for task in view.names
            if task in done
        ]
        if rows:
            parts += [f"### {escape(model)}", markdown_rows(("task", *map(metric_title, view.metrics)), rows)]
        noted = [f"- {_title(view, task)}: {'; '.join(done[task]['notes'])}" for task in done if "notes" in done[task]]
        parts += ["\n".join(noted)] if noted else []
    return "\n\n".join(parts)


def _with_interval(result: Mapping[str, Any], name: str) -> str:
    if name not in result["metrics"]:
        return MISSING
    interval = interval_of(result, name)
    return f"{result['metrics'][name]:.2f}" + (f" [{interval[0]:.2f}, {interval[1]:.2f}]" if interval else "")


def _differences(view: ResultsView) -> str:
    compared = [model for model, done in view.done.items() if any("difference" in each for each in done.values())]
    rows = []
    for task in view.names:
        found = [view.done[model].get(task, {}).get("difference", {}) for model in compared]
        for metric in dict.fromkeys(name for each in found for name in each if name != "to"):
            title = _title(view, task) + (f", {metric_title(metric)}" if metric != "map" else "")
            rows.append([title, *(_difference(each.get(metric)) for each in found)])
    if not rows:
        return ""
    return (
        "Points of MAP, or of the metric named, over the same queries; in brackets the 95 % interval of the paired "
        "bootstrap, bold where it excludes 0.\n\n" + markdown_rows(("task", *map(escape, compared)), rows)
    )


def _difference(found: Sequence[float] | None) -> str:
    if not found:
        return MISSING
    mean, low, high = found
    cell = f"{signed(mean, 2)} [{signed(low, 2)}, {signed(high, 2)}]"
    return f"**{cell}**" if low > 0 or high < 0 else cell


def _long_tail(view: ResultsView) -> str:
    rows = []
    for task in view.names:
        tails = [
            {row["relevant_for"]: row for row in done[task]["long_tail"]} if task in done else {}
            for done in view.done.values()
        ]
        for bucket in dict.fromkeys(bucket for tail in tails for bucket in tail):
            found = [tail.get(bucket) for tail in tails]
            pairs = next(row["pairs"] for row in found if row)
            best = bold_best([row["map"] if row else None for row in found])
            rows.append([_title(view, task), escape(bucket), f"{pairs:,}", *best])
    if not rows:
        return ""
    header = ("task", "right answer to so many queries", "pairs", *map(escape, view.done))
    return (
        "MAP by how often a target is relevant: the precision at the rank of a right answer, averaged over all pairs "
        "of a query and a target that is relevant for so many queries.\n\n" + markdown_rows(header, rows, left=(0, 1))
    )


def _leakage(view: ResultsView) -> str:
    rows = []
    for model, done in view.done.items():
        for task in view.names:
            if task in done and (leakage := done[task]["leakage"]):
                info = view.tasks[task]
                domain = f"**{leakage['domain']}**" if is_in_domain(done[task]) else leakage["domain"]
                shares = [f"{leakage[name]:,} ({100 * leakage[name] / info[name]:.2f} %)" for name in _COUNTS]
                rows.append([escape(model), _title(view, task), domain, *shares])
    parts = []
    if rows:
        parts += [
            "Queries, targets and query-target edges of each task that are in the graphs that the model was trained "
            f"on. In-domain means that {IN_DOMAIN_MEANING}.",
            markdown_rows(("model", "task", "domain", *_COUNTS), rows, left=(0, 1, 2)),
        ]
    unknown = [escape(model) for model, done in view.done.items() if any(not each["leakage"] for each in done.values())]
    if unknown:
        parts.append(f"No training graphs are known, so nothing was counted: {', '.join(unknown)}.")
    return "\n\n".join(parts)


def _skipped(skipped: Sequence[Mapping[str, str]]) -> str:
    rows = [[escape(names), escape(reason)] for names, reason in by_reason(skipped)]
    return markdown_rows(("task", "reason"), rows, left=(0, 1)) if rows else ""


def _models(models: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for name, entry in models.items():
        seconds = [entry["seconds"].get(part) for part in ("encode", "total")]
        costs = [MISSING if each is None else duration(each) for each in seconds]
        peak = entry.get("peak_memory_bytes")
        costs.append(MISSING if peak is None else gibibytes(peak))
        rows.append([escape(name), escape(entry["spec"]), escape(entry["description"]), *costs])
    header = ("model", "given as", "what it is", "encoding", "in all", "peak memory")
    return markdown_rows(header, rows, left=(0, 1, 2))
