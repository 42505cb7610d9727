"""Renders a grid's summary as tables of rows by tasks, as Markdown and for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

from uwe_jax.evaluation.reference import IN_DOMAIN_MARK, IN_DOMAIN_MEANING
from uwe_jax.runtime.markdown import MISSING, escape, markdown_rows, signed
from uwe_jax.runtime.text_table import narrow_tables
from uwe_jax.studies.summary import DONE, FAILED, MACRO, Summary

_HEADER_WIDTH = 13  # of a column in a terminal


class Matrix(NamedTuple):
    """A table of texts with a title."""

    title: str
    header: list[str]
    rows: list[list[str]]

    def markdown(self) -> str:
        """Renders a heading and the table."""
        rows = [[escape(cell) for cell in row] for row in self.rows]
        return f"## {escape(self.title)}\n\n{markdown_rows([escape(name) for name in self.header], rows)}"

    def terminal(self) -> str:
        """Renders the title and the table in 80 columns."""
        header = ["\n".join(textwrap.wrap(name, _HEADER_WIDTH)) for name in self.header]
        return f"{self.title}\n{narrow_tables(header, self.rows, labels=1)}"


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


def matrix(summary: Summary, section: str, metric: str, title: str, *, first: str, relative: bool) -> Matrix:
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
    return Matrix(title, [first, *(column_title(summary, task) for task in tasks)], lines)


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


def document(title: str, paragraphs: Sequence[str], tables: Sequence[Matrix], remarks: Sequence[str]) -> str:
    """Renders a Markdown page."""
    parts = [f"# {escape(title)}", *(escape(text) for text in paragraphs), *(table.markdown() for table in tables)]
    if remarks:
        parts.append("\n".join(f"- {escape(remark)}" for remark in remarks))
    return "\n\n".join(parts) + "\n"
