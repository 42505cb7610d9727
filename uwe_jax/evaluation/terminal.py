"""Shows results in a terminal: a line after each task, and tables of 80 columns at the end."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from uwe_jax.evaluation import aggregate
from uwe_jax.evaluation.reference import IN_DOMAIN_MARK, IN_DOMAIN_MEANING, group_title, metric_title
from uwe_jax.evaluation.tasks.task import GROUPS
from uwe_jax.runtime.markdown import MISSING
from uwe_jax.runtime.progress import duration
from uwe_jax.runtime.text_table import render_table

# So many models of this width fit beside the tasks; further ones follow in tables of their own.
_WIDTH, _MODELS_ACROSS, _NAME_WIDTH = 80, 2, 13


def task_line(model_name: str, task: Mapping[str, Any], result: Mapping[str, Any], seconds: float) -> str:
    """Returns a line on a model's task: metrics, the 95 % interval of the first one, the time and the leakage.

    Args:
      task: of results.json's `tasks`.
      result: of the model's `results`.
      seconds: of ranking, encoding included.
    """
    shown = aggregate.headline_metrics({"models": {model_name: {"results": {task["title"]: result}}}})
    parts = [f"{metric_title(name)} {result['metrics'][name]:.1f}" for name in shown]
    if interval := aggregate.interval_of(result, shown[0]):
        parts[0] += f" [{interval[0]:.1f}, {interval[1]:.1f}]"
    parts.append(duration(seconds))
    if leakage := result["leakage"]:
        counts = ", ".join(f"{leakage[name]:,} of {task[name]:,} {name}" for name in ("queries", "targets", "edges"))
        parts.append(f"{leakage['domain']} ({counts} in the training graphs)")
    return (
        f"{model_name} on {task['title']} ({task['queries']:,} queries, {task['targets']:,} targets): "
        f"{', '.join(parts)}"
    )


def terminal_table(results: aggregate.Results) -> str:
    """Returns MAP and RP@10 of every model on every task, WorkBench with its macro-average first, in percent."""
    models = list(results["models"])
    tables = [
        render_table(_table(results, models[start : start + _MODELS_ACROSS]), _WIDTH)
        for start in range(0, len(models), _MODELS_ACROSS)
    ]
    return "\n\n".join([*tables, "\n".join(_notes(results))]).rstrip()


def _table(results: aggregate.Results, models: Sequence[str]) -> Table:
    tasks = results["tasks"]
    metrics = aggregate.headline_metrics(results)
    table = Table(title="Percent, full target space", title_justify="left", title_style="bold")
    table.add_column("task")
    table.add_column("queries", justify="right")
    table.add_column("targets", justify="right")
    for name in models:
        header = [*textwrap.wrap(name, _NAME_WIDTH), " / ".join(map(metric_title, metrics))]
        table.add_column("\n".join(header), justify="right", overflow="fold")

    measured = [results["models"][name]["results"] for name in models]
    workbench = [name for members in aggregate.workbench_sets(results).values() for name in members]
    further = [name for name in aggregate.measured_tasks(results) if name not in workbench]
    macros = aggregate.macro_averages(results)
    for names in (workbench, further):
        for name in names:
            task = tasks[name]
            row = [_cell(done.get(name), metrics) for done in measured]
            table.add_row(task["title"], f"{task['queries']:,}", f"{task['targets']:,}", *row)
        table.add_section()
        for macro in macros if names is workbench else ():
            table.add_row(macro.title, "", "", *(_values(macro.values[name], metrics) for name in models), style="bold")
            over = [f"{macro.groups[name]} of {len(GROUPS)}  " for name in models]
            table.add_row("over WorkBench tasks", "", "", *over)
        table.add_section()
    return table


def _cell(result: Mapping[str, Any] | None, metrics: Sequence[str]) -> str:
    mark = IN_DOMAIN_MARK if aggregate.is_in_domain(result) else " "
    return _values(result["metrics"] if result else {}, metrics, mark)


def _values(values: Mapping[str, float], metrics: Sequence[str], mark: str = " ") -> str:
    """Returns numbers with a mark or as much space behind them, so that they are aligned."""
    if not values:
        return f"{MISSING} {mark}"
    return " / ".join(f"{values[name]:.1f}" if name in values else MISSING for name in metrics) + f" {mark}"


def _notes(results: aggregate.Results) -> list[str]:
    notes = []
    sets = aggregate.workbench_sets(results)
    if several := [group_title(group).lower() for group, members in sets.items() if len(members) > 1]:
        notes.append(f"The sets of {', '.join(several)} count as one task, their mean.")
    missing = [group_title(group).lower() for group in GROUPS if group not in sets]
    if sets and missing:
        notes.append(f"Not measured of WorkBench: {', '.join(missing)}; the macro-average is not the paper's.")
    notes += [
        f"{name} has no result on {', '.join(results['tasks'][task]['title'] for task in lacking)}: its macro-average "
        "cannot be compared with those over more tasks."
        for name, lacking in aggregate.lacking_tasks(results).items()
    ]
    if leaked := aggregate.in_domain_tasks(results):
        workbench = {name for members in sets.values() for name in members}
        without = " The zero-shot macro-average leaves out every task that is in-domain for one of the models."
        notes.append(f"{IN_DOMAIN_MARK} in-domain: {IN_DOMAIN_MEANING}.{without if leaked & workbench else ''}")
    return [*notes, *(f"Skipped {skip['task']}: {skip['reason']}" for skip in results["skipped"])]
