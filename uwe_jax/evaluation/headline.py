"""The headline of results.md: models against WorkBench's six tasks, beside what the paper reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from uwe_jax.evaluation.aggregate import (
    Results,
    group_means,
    headline_metrics,
    in_domain_tasks,
    is_in_domain,
    lacking_tasks,
    macro_averages,
    measured_tasks,
    workbench_sets,
)
from uwe_jax.evaluation.reference import (
    IN_DOMAIN_MARK,
    IN_DOMAIN_MEANING,
    PAPER,
    PAPER_ROWS,
    PAPER_SETS,
    PaperRow,
    group_title,
    metric_title,
)
from uwe_jax.evaluation.tasks.task import GROUPS
from uwe_jax.runtime.markdown import MISSING, bold_best, escape, markdown_rows


def headline(results: Results) -> str:
    """Models as rows, the six tasks and the macro-average as columns; the sets of a task in a table of their own."""
    sets = workbench_sets(results)
    if not sets:
        return ""
    tasks, models = results["tasks"], results["models"]
    metrics = headline_metrics(results)
    measured = [model["results"] for model in models.values()]

    columns = []
    for group in GROUPS:
        members = sets.get(group, [])
        means = [group_means(tasks, done).get(group, {}) for done in measured]
        whole = [all(name in done for name in members) for done in measured]
        cells = _cells(means, metrics, whole)
        columns.append([cell + _mark(done, members) for cell, done in zip(cells, measured, strict=True)])
    titles = [group_title(group) for group in GROUPS]
    for macro in macro_averages(results):
        columns.append(_cells(list(macro.values.values()), metrics, list(macro.whole.values())))
        columns.append([f"{count} of {len(GROUPS)}" for count in macro.groups.values()])
        titles += [macro.title, "over tasks"]
    rows = [[escape(name), *cells] for name, *cells in zip(models, *columns, strict=True)]
    rows.append(["*reported in the paper*", *[""] * len(titles)])
    rows += [_paper_cells(row, metrics, len(titles)) for row in PAPER_ROWS]
    parts = [
        f"{_legend(metrics)}.",
        markdown_rows(("model", *titles), rows),
        "\n".join(f"- {note}" for note in _notes(results, sets)),
    ]
    for group, members in sets.items():
        if len(members) > 1:
            parts += [f"### The sets of {group_title(group).lower()}", _task_table(results, members, metrics)]
    return "\n\n".join(parts)


def further_table(results: Results) -> str:
    """Models against the tasks beside WorkBench, which no macro-average holds."""
    names = [name for name in measured_tasks(results) if not results["tasks"][name]["group"]]
    if not names:
        return ""
    metrics = headline_metrics(results)
    marked = in_domain_tasks(results) & set(names)
    meaning = f"; {IN_DOMAIN_MARK} in-domain: {IN_DOMAIN_MEANING}" if marked else ""
    return f"{_legend(metrics)}{meaning}.\n\n{_task_table(results, names, metrics)}"


def _legend(metrics: Sequence[str]) -> str:
    return f"{' / '.join(map(metric_title, metrics))}; the best measured value of a column is bold"


def _task_table(results: Results, names: Sequence[str], metrics: Sequence[str]) -> str:
    measured = [model["results"] for model in results["models"].values()]
    columns = []
    for name in names:
        cells = _cells([done[name]["metrics"] if name in done else {} for done in measured], metrics)
        columns.append([cell + _mark(done, [name]) for cell, done in zip(cells, measured, strict=True)])
    rows = [[escape(model), *cells] for model, *cells in zip(results["models"], *columns, strict=True)]
    return markdown_rows(("model", *(escape(results["tasks"][name]["title"]) for name in names)), rows)


def _cells(
    values: Sequence[Mapping[str, float]], metrics: Sequence[str], competes: Sequence[bool] | None = None
) -> list[str]:
    """A column of metrics side by side, each with its own best in bold."""
    parts = [bold_best([value.get(name) for value in values], competes=competes) for name in metrics]
    return [" / ".join(cell) if value else MISSING for value, *cell in zip(values, *parts, strict=True)]


def _mark(done: Mapping[str, Any], names: Sequence[str]) -> str:
    """What is said beside a value: that it is in-domain, that it is over some sets only."""
    count = sum(name in done for name in names)
    partial = f" ({count} of {len(names)} sets)" if 0 < count < len(names) else ""
    return partial + (f" {IN_DOMAIN_MARK}" if any(is_in_domain(done.get(name)) for name in names) else "")


def _paper_cells(row: PaperRow, metrics: Sequence[str], columns: int) -> list[str]:
    def cell(values: Mapping[str, float]) -> str:
        shown = [f"{values[name]:.1f}" if name in values else MISSING for name in metrics]
        return " / ".join(shown) if values else MISSING

    by_task = [cell({"map": row.task_map[group]} if group in row.task_map else {}) for group in GROUPS]
    cells = [*by_task, cell(row.macro), f"{len(GROUPS)} of {len(GROUPS)}"]
    return [f"*{escape(row.name)}*", *cells, *[MISSING] * (columns - len(cells))]


def _notes(results: Results, sets: Mapping[str, Sequence[str]]) -> list[str]:
    tasks = results["tasks"]
    leaked = in_domain_tasks(results) & {name for members in sets.values() for name in members}
    missing = [group_title(group).lower() for group in GROUPS if group not in sets]
    missed = f"; missing: {', '.join(missing)}" if missing else ""
    notes = [
        f"Measured: {len(sets)} of {len(GROUPS)} tasks{missed}. The rows of the paper ({PAPER}) are over all six: a "
        "macro-average over fewer tasks, over other splits or over other versions of ESCO is not comparable with them."
    ]
    read = [
        f"{escape(tasks[name]['title'])}: split {escape(tasks[name]['split'])}, {escape(tasks[name]['origin'])}"
        for members in sets.values()
        for name in members
    ]
    notes.append(f"Measured on {'; '.join(read)}.")
    for group, of_paper in PAPER_SETS.items():
        if group in sets:
            notes.append(
                f"{group_title(group)} is the mean over {len(sets[group])} of the paper's {of_paper} sets and counts "
                "as one task."
            )
    notes += [
        f"{escape(model)} has no result on {', '.join(escape(tasks[name]['title']) for name in names)}; its "
        "macro-average is over other tasks than the others' and is not compared with them."
        for model, names in lacking_tasks(results).items()
    ]
    if leaked:
        notes.append(
            f"{IN_DOMAIN_MARK} in-domain: {IN_DOMAIN_MEANING}. The zero-shot macro-average leaves out, for all models, "
            "what is in-domain for one of them: "
            f"{', '.join(escape(tasks[name]['title']) for name in measured_tasks(results) if name in leaked)}."
        )
    return notes
