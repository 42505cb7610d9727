"""Results for a person at a terminal: a line when a model is done with a task, and the table at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from uwe_jax.evaluation.aggregate import (
    Results,
    headline_metrics,
    in_domain_tasks,
    interval_of,
    is_in_domain,
    lacking_tasks,
    macro_averages,
    measured_tasks,
    workbench_sets,
)
from uwe_jax.evaluation.reference import IN_DOMAIN_MARK, IN_DOMAIN_MEANING, group_title, metric_title
from uwe_jax.evaluation.tasks.task import GROUPS
from uwe_jax.runtime.markdown import MISSING
from uwe_jax.runtime.progress import duration
from uwe_jax.runtime.text_table import drawn

# Columns of so many models stand side by side; further ones follow in tables of their own.
_MODELS_ACROSS = 4
_NAME_WIDTH, _TITLE_WIDTH = 24, 36


def task_line(model_name: str, task: Mapping[str, Any], result: Mapping[str, Any], seconds: float) -> str:
    """One line: what a model reached on a task, with the 95 % interval of the first metric, the time and the leakage.

    Args:
      task: of results.json's `tasks`.
      result: of the model's `results`.
      seconds: that ranking took, encoding included.
    """
    shown = headline_metrics({"models": {model_name: {"results": {task["title"]: result}}}})
    parts = [f"{metric_title(name)} {result['metrics'][name]:.1f}" for name in shown]
    if interval := interval_of(result, shown[0]):
        parts[0] += f" [{interval[0]:.1f}, {interval[1]:.1f}]"
    parts.append(duration(seconds))
    if leakage := result["leakage"]:
        counts = ", ".join(f"{leakage[name]:,} of {task[name]:,} {name}" for name in ("queries", "targets", "edges"))
        parts.append(f"{leakage['domain']} ({counts} in the training graphs)")
    return (
        f"{model_name} on {task['title']} ({task['queries']:,} queries, {task['targets']:,} targets): "
        f"{', '.join(parts)}"
    )


def terminal_table(results: Results) -> str:
    """MAP and RP@10 of every model on every task, WorkBench with its macro-average first, percent."""
    models = list(results["models"])
    tables = [
        drawn(_table(results, models[start : start + _MODELS_ACROSS]))
        for start in range(0, len(models), _MODELS_ACROSS)
    ]
    return "\n\n".join([*tables, "\n".join(_notes(results))]).rstrip()


def _table(results: Results, models: Sequence[str]) -> Table:
    tasks = results["tasks"]
    metrics = headline_metrics(results)
    lines = Table(title="Percent, full target space", title_justify="left", title_style="bold")
    lines.add_column("task", max_width=_TITLE_WIDTH)
    lines.add_column("queries", justify="right")
    lines.add_column("targets", justify="right")
    for name in models:
        title = " / ".join(map(metric_title, metrics))
        lines.add_column(f"{name}\n{title}", justify="right", overflow="fold", max_width=_NAME_WIDTH)

    measured = [results["models"][name]["results"] for name in models]
    workbench = [name for members in workbench_sets(results).values() for name in members]
    further = [name for name in measured_tasks(results) if name not in workbench]

    def add_tasks(names: Sequence[str]) -> None:
        for name in names:
            task = tasks[name]
            row = [_cell(done.get(name), metrics) for done in measured]
            lines.add_row(task["title"], f"{task['queries']:,}", f"{task['targets']:,}", *row)
        lines.add_section()

    add_tasks(workbench)
    if workbench:
        for macro in macro_averages(results):
            lines.add_row(macro.title, "", "", *(_values(macro.values[name], metrics) for name in models), style="bold")
            over = [f"{macro.groups[name]} of {len(GROUPS)}  " for name in models]
            lines.add_row("over WorkBench tasks", "", "", *over)
        lines.add_section()
    add_tasks(further)
    return lines


def _cell(result: Mapping[str, Any] | None, metrics: Sequence[str]) -> str:
    return _values(result["metrics"] if result else {}, metrics, IN_DOMAIN_MARK if is_in_domain(result) else " ")


def _values(values: Mapping[str, float], metrics: Sequence[str], mark: str = " ") -> str:
    """Numbers with room for a mark behind them, so that marked and bare ones stand in line."""
    if not values:
        return f"{MISSING} {mark}"
    return " / ".join(f"{values[name]:.1f}" if name in values else MISSING for name in metrics) + f" {mark}"


def _notes(results: Results) -> list[str]:
    notes = []
    sets = workbench_sets(results)
    if several := [group_title(group).lower() for group, members in sets.items() if len(members) > 1]:
        notes.append(f"The sets of {', '.join(several)} count as one task, their mean.")
    missing = [group_title(group).lower() for group in GROUPS if group not in sets]
    if sets and missing:
        notes.append(f"Not measured of WorkBench: {', '.join(missing)}; the macro-average is not the paper's.")
    notes += [
        f"{name} has no result on {', '.join(results['tasks'][task]['title'] for task in lacking)}: its macro-average "
        "cannot be compared with those over more tasks."
        for name, lacking in lacking_tasks(results).items()
    ]
    if leaked := in_domain_tasks(results):
        workbench = {name for members in sets.values() for name in members}
        without = " The zero-shot macro-average leaves out every task that is in-domain for one of the models."
        notes.append(f"{IN_DOMAIN_MARK} in-domain: {IN_DOMAIN_MEANING}.{without if leaked & workbench else ''}")
    notes += [f"Skipped {skip['task']}: {skip['reason']}" for skip in results["skipped"]]
    return notes
