"""Shows results in a terminal: a line after each task, and tables of 80 columns at the end."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from uwe_jax.evaluation.aggregate import Results, ResultsView, headline_metrics, interval_of
from uwe_jax.evaluation.reference import metric_title
from uwe_jax.evaluation.tasks.task import GROUPS
from uwe_jax.runtime.progress import counted, duration
from uwe_jax.runtime.text_table import render_table

# So many models of this width fit beside the tasks; further ones follow in tables of their own.
_WIDTH, _MODELS_ACROSS, _NAME_WIDTH = 80, 2, 13
FEW_REASONS = 3  # that are shown; more are left to --verbose and to results.json


def task_line(model_name: str, task: Mapping[str, Any], result: Mapping[str, Any], seconds: float) -> str:
    """Returns a line on a model's task: metrics, the 95 % interval of the first one, the time and the leakage.

    Args:
      task: of results.json's `tasks`.
      result: of the model's `results`.
      seconds: of ranking, encoding included.
    """
    graded = ["ndcg"] if "threshold" in task else []
    shown = list(dict.fromkeys([*graded, *headline_metrics(result["metrics"])]))
    parts = [f"{metric_title(name)} {result['metrics'][name]:.1f}" for name in shown]
    if interval := interval_of(result, shown[0]):
        parts[0] += f" [{interval[0]:.1f}, {interval[1]:.1f}]"
    if labels := result.get("classification"):
        parts.append(f"F1 {labels['metrics']['f1_macro']:.2f} at {labels['threshold']:g}")
    parts.append(duration(seconds))
    if leakage := result["leakage"]:
        counts = ", ".join(f"{leakage[name]:,} of {task[name]:,} {name}" for name in ("queries", "targets", "edges"))
        parts.append(f"{leakage['domain']} ({counts} in the training graphs)")
    return (
        f"{model_name} on {task['title']} ({counted(task['queries'], 'query')}, "
        f"{counted(task['targets'], 'target')}): {', '.join(parts)}"
    )


def terminal_table(results: Results) -> str:
    """Returns MAP and RP@10 of every model on every task, WorkBench with its macro-average first, in percent."""
    view = ResultsView(results)
    models = [*view.done]
    parts = [models[first : first + _MODELS_ACROSS] for first in range(0, len(models), _MODELS_ACROSS)]
    tables = [render_table(summary_table(view, part), _WIDTH) for part in parts]
    return "\n\n".join([*tables, "\n".join(notes_and_skipped(results, view))]).rstrip()


def notes_and_skipped(results: Results, view: ResultsView) -> list[str]:
    """Returns sentences on what the averages are over, and a line per reason for skipped tasks or models, or one."""
    skipped = skipped_lines(results["skipped"])
    if len(skipped) > FEW_REASONS:
        where = "`skipped` of results.json, or of the evaluation in Python, has the reasons"
        skipped = skipped_lines([{**each, "reason": where} for each in results["skipped"]])
    return [*view.names_note(), *view.notes(), *skipped]


def skipped_lines(skipped: Sequence[Mapping[str, str]]) -> list[str]:
    """Returns the lines of `by_reason`."""
    return [f"Skipped {names}: {reason}" for names, reason in by_reason(skipped)]


def by_reason(skipped: Sequence[Mapping[str, str]]) -> list[tuple[str, str]]:
    """Returns skipped tasks with their reasons; more than three of one reason are one entry.

    >>> by_reason([{"task": f"set_{k}", "reason": "no data"} for k in range(5)])
    [('set_0, set_1, set_2 and 2 more', 'no data')]
    """
    names: dict[str, list[str]] = {}
    for skip in skipped:
        names.setdefault(skip["reason"], []).append(skip["task"])
    return [
        (name, reason)
        for reason, each in names.items()
        for name in ([f"{', '.join(each[:3])} and {len(each) - 3} more"] if len(each) > 3 else each)
    ]


def summary_table(view: ResultsView, models: Sequence[str]) -> Table:
    """Returns the headline metrics of some models, which follow each other in the view, on every task."""
    first = [*view.done].index(models[0]) if models else 0
    shown = slice(first, first + len(models))
    table = Table(title="Percent, full target space")
    table.add_column("task")
    table.add_column("queries", justify="right")
    table.add_column("targets", justify="right")
    for name in models:
        header = [*textwrap.wrap(name, _NAME_WIDTH), " / ".join(map(metric_title, view.headline))]
        table.add_column("\n".join(header), justify="right", overflow="fold")
    # Where there is no mark there is as much space, so that numbers are aligned.
    plain: dict[str, Any] = {"digits": 1, "bold": False, "unmarked": "  "}
    for names, macros in ((view.workbench, view.macros()), (view.further, {})):
        for name in names:
            task, cells = view.tasks[name], view.column([name]).cells(view.headline, **plain)
            table.add_row(task["title"], f"{task['queries']:,}", f"{task['targets']:,}", *cells[shown])
            if name in view.graded:
                table.add_row("  nDCG", "", "", *view.column([name]).cells(["ndcg"], **plain)[shown])
        table.add_section()
        for title, macro in macros.items():
            table.add_row(title, "", "", *macro.cells(view.headline, **plain)[shown], style="bold")
            over = [f"{count} of {len(GROUPS)}  " for count in macro.counts]
            table.add_row("over WorkBench tasks", "", "", *over[shown])
        table.add_section()
    return table
