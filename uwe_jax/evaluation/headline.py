"""Headline of results.md: models on WorkBench's six tasks, beside the paper's figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from uwe_jax.evaluation import aggregate, reference
from uwe_jax.evaluation.tasks.task import GROUPS
from uwe_jax.runtime.markdown import MISSING, bold_best, escape, markdown_rows


def headline(results: aggregate.Results) -> str:
    """Returns models as rows, the six tasks and the macro-averages as columns; a task's sets have their own table."""
    sets = aggregate.workbench_sets(results)
    if not sets:
        return ""
    tasks, models = results["tasks"], results["models"]
    metrics = aggregate.headline_metrics(results)
    measured = [model["results"] for model in models.values()]

    columns = []
    for group in GROUPS:
        members = sets.get(group, [])
        means = [aggregate.group_means(tasks, done).get(group, {}) for done in measured]
        whole = [all(name in done for name in members) for done in measured]
        columns.append(_cells(means, metrics, measured, members, whole))
    titles = [reference.group_title(group) for group in GROUPS]
    for macro in aggregate.macro_averages(results):
        columns.append(_cells(list(macro.values.values()), metrics, competes=list(macro.whole.values())))
        columns.append([f"{count} of {len(GROUPS)}" for count in macro.groups.values()])
        titles += [macro.title, "over tasks"]
    rows = [[escape(name), *cells] for name, *cells in zip(models, *columns, strict=True)]
    rows.append(["*reported in the paper*", *[""] * len(titles)])
    rows += [_paper_cells(row, metrics, len(titles)) for row in reference.PAPER_ROWS]
    notes = "\n".join(f"- {note}" for note in _notes(results, sets))
    parts = [f"{_legend(metrics)}.", markdown_rows(("model", *titles), rows), notes]
    for group, members in sets.items():
        if len(members) > 1:
            parts += [f"### The sets of {reference.group_title(group).lower()}", _task_table(results, members, metrics)]
    return "\n\n".join(parts)


def further_table(results: aggregate.Results) -> str:
    """Returns models on the tasks outside WorkBench, which count for no macro-average."""
    names = [name for name in aggregate.measured_tasks(results) if not results["tasks"][name]["group"]]
    if not names:
        return ""
    metrics = aggregate.headline_metrics(results)
    marked = aggregate.in_domain_tasks(results) & set(names)
    meaning = f"; {reference.IN_DOMAIN_MARK} in-domain: {reference.IN_DOMAIN_MEANING}" if marked else ""
    return f"{_legend(metrics)}{meaning}.\n\n{_task_table(results, names, metrics)}"


def _legend(metrics: Sequence[str]) -> str:
    return f"{' / '.join(map(reference.metric_title, metrics))}; the best measured value of a column is bold"


def _task_table(results: aggregate.Results, names: Sequence[str], metrics: Sequence[str]) -> str:
    measured = [model["results"] for model in results["models"].values()]
    columns = [
        _cells([done[name]["metrics"] if name in done else {} for done in measured], metrics, measured, [name])
        for name in names
    ]
    rows = [[escape(model), *cells] for model, *cells in zip(results["models"], *columns, strict=True)]
    return markdown_rows(("model", *(escape(results["tasks"][name]["title"]) for name in names)), rows)


def _cells(
    values: Sequence[Mapping[str, float]],
    metrics: Sequence[str],
    measured: Sequence[Mapping[str, Any]] = (),
    names: Sequence[str] = (),
    competes: Sequence[bool] | None = None,
) -> list[str]:
    """Returns a column of metrics side by side, each with its own best in bold, and with marks.

    Args:
      measured: results of each model, marked where they are in-domain or over some of the tasks `names` only.
      competes: whether each value may be the best.
    """
    parts = [bold_best([value.get(name) for value in values], competes=competes) for name in metrics]
    cells = [" / ".join(cell) if value else MISSING for value, *cell in zip(values, *parts, strict=True)]
    for row, done in enumerate(measured):
        count = sum(name in done for name in names)
        if 0 < count < len(names):
            cells[row] += f" ({count} of {len(names)} sets)"
        if any(aggregate.is_in_domain(done.get(name)) for name in names):
            cells[row] += f" {reference.IN_DOMAIN_MARK}"
    return cells


def _paper_cells(row: reference.PaperRow, metrics: Sequence[str], columns: int) -> list[str]:
    def cell(values: Mapping[str, float]) -> str:
        shown = [f"{values[name]:.1f}" if name in values else MISSING for name in metrics]
        return " / ".join(shown) if values else MISSING

    by_task = [cell({"map": row.task_map[group]} if group in row.task_map else {}) for group in GROUPS]
    cells = [*by_task, cell(row.macro), f"{len(GROUPS)} of {len(GROUPS)}"]
    return [f"*{escape(row.name)}*", *cells, *[MISSING] * (columns - len(cells))]


def _notes(results: aggregate.Results, sets: Mapping[str, Sequence[str]]) -> list[str]:
    tasks = results["tasks"]
    names = [name for members in sets.values() for name in members]
    leaked = aggregate.in_domain_tasks(results) & set(names)
    missing = [reference.group_title(group).lower() for group in GROUPS if group not in sets]
    missed = f"; missing: {', '.join(missing)}" if missing else ""
    read = [
        f"{escape(tasks[name]['title'])}: split {escape(tasks[name]['split'])}, {escape(tasks[name]['origin'])}"
        for name in names
    ]
    notes = [
        f"Measured: {len(sets)} of {len(GROUPS)} tasks{missed}. The rows of the paper ({reference.PAPER}) are over all "
        "six: a macro-average over fewer tasks, over other splits or over other versions of ESCO is not comparable "
        "with them.",
        f"Measured on {'; '.join(read)}.",
    ]
    notes += [
        f"{reference.group_title(group)} is the mean over {len(sets[group])} of the paper's {of_paper} sets and counts "
        "as one task."
        for group, of_paper in reference.PAPER_SETS.items()
        if group in sets
    ]
    notes += [
        f"{escape(model)} has no result on {', '.join(escape(tasks[name]['title']) for name in lacking)}; its "
        "macro-average is over other tasks than the others' and is not compared with them."
        for model, lacking in aggregate.lacking_tasks(results).items()
    ]
    if leaked:
        notes.append(
            f"{reference.IN_DOMAIN_MARK} in-domain: {reference.IN_DOMAIN_MEANING}. The zero-shot macro-average leaves "
            "out, for all models, the tasks that are in-domain for one of them: "
            f"{', '.join(escape(tasks[name]['title']) for name in names if name in leaked)}."
        )
    return notes
