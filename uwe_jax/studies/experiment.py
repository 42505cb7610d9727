"""Runs an experiment from its plan to its tables."""

from __future__ import annotations

import logging
import shlex
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import uwe_jax
from uwe_jax.config import Config
from uwe_jax.curation.describe.section import Section
from uwe_jax.evaluation.reference import IN_DOMAIN_MARK, metric_title
from uwe_jax.runtime.command import EXIT_FAILED
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import json_bytes, write_json, write_together
from uwe_jax.runtime.json_file import read_json
from uwe_jax.runtime.markdown import signed
from uwe_jax.runtime.plot import save_png
from uwe_jax.runtime.printable import printable
from uwe_jax.runtime.progress import counted, duration, report
from uwe_jax.studies.cell import FROZEN, Cell, changed_settings
from uwe_jax.studies.grid import locked, run_grid, seconds_left
from uwe_jax.studies.options import GridFlags
from uwe_jax.studies.summary import (
    FAILED,
    SECTIONS,
    Outcome,
    Summary,
    column_title,
    columns,
    document,
    matrix,
    notes,
    row_title,
    status,
    summarise,
)

LOG = logging.getLogger(__name__)

METRICS = tuple((metric, metric_title(metric)) for metric in ("map", "rp@10"))  # of the tables, with titles
_GRID = "grid.json"
_LEAST_SPAN = 1.0  # points; a narrower scale would show noise in full colours
_DARK = 0.6  # from this share of the scale on, text is white


@dataclass(frozen=True)
class Experiment:
    """A grid of cells, and the files that are written of it."""

    name: str  # of the files, such as transfer
    title: str  # of the page
    options: GridFlags
    config: Config  # that every training starts from
    graphs: Mapping[str, str]  # fingerprints of the training graphs
    cells: Sequence[Cell]  # in the order in which they are run
    descriptions: Mapping[str, str]  # of every row of the tables, by name
    baseline: str  # the row that the others are compared with
    intro: Sequence[str]  # paragraphs at the head of the page, after the settings
    first: str  # header of the column of rows' names
    difference: str  # of a row to the baseline, as the picture calls it
    relative: bool  # tables show differences alone
    sections: Sequence[str] = SECTIONS  # of the summary, with a table per metric

    def carry_out(self) -> None:
        """Prints the plan, runs the remaining cells, and writes the tables; a dry run stops after the plan.

        The tables are written after every cell, and the picture at the end. Exits with `EXIT_FAILED` if a cell
        failed.

        Raises:
          UserError: the folder belongs to another grid, cannot be written, or is in use.
        """
        claim = self._claim()
        for cell in self.cells:
            cell.check_conflicts()
        report(self._plan())
        if self.options.dry_run:
            report("\n" + "\n".join(shlex.join(stage.command) for cell in self.cells for stage in cell.remaining()))
            return
        outcomes: list[Outcome] = []
        out = self.options.out
        with locked(out) as lock:
            write_json(out / _GRID, claim)
            for outcome in run_grid(self.cells, out, lock, discard_checkpoints=self.options.discard_checkpoints):
                outcomes.append(outcome)
                summary = self._write(outcomes)
        picture = out / f"{self.name}.png"
        self._draw(summary, picture)
        report("\n" + "\n".join([*(table.terminal() for table in self._tables(summary)[:1]), *notes(summary)]))
        written = [f"{self.name}.json", f"{self.name}.md", *([picture.name] if picture.exists() else []), "cells/"]
        report(f"\nWritten to {out}: {', '.join(written)}")
        if failed := sum(outcome.status == FAILED for outcome in outcomes):
            LOG.info(f"{failed} of {len(self.cells)} cells failed; the same command again runs only what is not done.")
            sys.exit(EXIT_FAILED)

    def _claim(self) -> dict[str, Any]:
        """Returns the content of grid.json; raises UserError if the folder has trainings of another grid."""
        settings = {"config": self.config.to_dict(), "graphs": dict(self.graphs)}
        path = self.options.out / _GRID
        remedy = "Remove it if nothing else in the folder was changed, or name another folder with --out."
        theirs = read_json(path, remedy) if path.is_file() else None
        patterns = ("cells/*/training/checkpoints/[0-9]*", "cells/*/training/summary.json")
        if theirs and any(any(self.options.out.glob(pattern)) for pattern in patterns):
            changed = changed_settings(settings, theirs["settings"])
            if theirs["experiment"] != self.name:
                changed = [f"{theirs['experiment']} there, {self.name} now", *changed]
            if changed:
                raise UserError(
                    f"{self.options.out} holds another grid ({len(changed)} differences: {'; '.join(changed[:5])}). "
                    "Name another folder with --out, or repeat the settings that it was started with."
                )
        return {"experiment": self.name, "settings": settings}

    def _plan(self) -> str:
        options, cells = self.options, self.cells
        lines = [f"{self.title}: {counted(len(cells), 'cell')} in {options.out}"]
        width = max(len(cell.title) for cell in cells)
        for place, cell in enumerate(cells, 1):
            left = [stage.name for stage in cell.remaining()]
            lines.append(f"  {place:>3}  {cell.title:<{width}}  {' and '.join(left) or 'done'}")
        stages = [stage for cell in cells for stage in cell.remaining()]
        steps = sum(stage.steps for stage in stages)
        trainings = sum(stage.name == "training" for stage in stages)
        parts = []
        if trainings:
            size = self.config.batch.global_batch_size
            parts.append(f"{counted(trainings, 'training')} ({steps:,} steps of {size} skills in all)")
        if evaluations := len(stages) - trainings:
            queries = f"at most {options.max_queries:,} queries per task" if options.max_queries else "all queries"
            parts.append(f"{counted(evaluations, 'evaluation')} ({', '.join(options.tasks)}; {queries})")
        seconds = seconds_left(cells)
        time = f" About {duration(seconds)}, judging by finished cells." if seconds is not None else ""
        lines.append(f"To do: {' and '.join(parts)}.{time}" if stages else "Nothing is left to run.")
        return "\n".join(lines)

    def _write(self, outcomes: Sequence[Outcome]) -> Summary:
        options = self.options
        summary = summarise(self.cells, outcomes, self.descriptions, self.baseline)
        content = {
            "version": uwe_jax.__version__,
            "experiment": self.name,
            "settings": {
                "config": self.config.to_dict(),
                "graphs": dict(self.graphs),
                **{name: getattr(options, name) for name in ("seeds", "tasks", "split", "max_queries", "max_tokens")},
            },
            **summary,
        }
        seeds, config = options.seeds, self.config
        settings = (
            f"Encoder {config.encoder.name}, {config.steps:,} steps of {config.batch.global_batch_size} skills, "
            f"learning rate {config.optimiser.learning_rate:g}, seed{'s'[: len(seeds) != 1]} "
            f"{', '.join(map(str, seeds))}."
        )
        page = document(self.title, [settings, *self.intro], self._tables(summary), notes(summary))
        result, text, picture = (options.out / f"{self.name}.{end}" for end in ("json", "md", "png"))
        write_together({result: json_bytes(content), text: page.encode(), picture: None})
        return summary

    def _tables(self, summary: Summary) -> list[Section]:
        """Returns a table for every section with results and every metric; the first is shown in the terminal."""
        ending = {"held_out": " on held-out nodes of the training graphs (in-domain)"}
        if self.relative:
            ending = dict.fromkeys(self.sections, f": {self.difference}")
        return [
            matrix(summary, section, metric, title + ending.get(section, ""), first=self.first, relative=self.relative)
            for section in self.sections
            if columns(summary, section)
            for metric, title in METRICS
        ]

    def _draw(self, summary: Summary, path: Path) -> None:
        """Draws the differences of the first section with results."""
        section = next((section for section in self.sections if columns(summary, section)), self.sections[0])
        rows = [name for name in summary["rows"] if name not in (FROZEN, self.baseline)]
        plot_differences(summary, section, rows, path, title=f"MAP: {self.difference}")


def plot_differences(summary: Summary, section: str, rows: Sequence[str], path: Path, *, title: str) -> None:
    """Draws the MAP of rows by tasks, each cell with its number; cells that failed or were not measured are hatched.

    The baseline's own scores, in percent, are above the columns. Draws nothing if there is no result at all.
    """
    tasks = columns(summary, section)
    if not tasks or not rows:
        return
    # Imported here because it takes a second.
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    sections = [summary["rows"][name][section] for name in rows]
    found = [[row.get(task, {}).get("map", {}).get("difference") for task in tasks] for row in sections]
    values = np.array(found, float)  # NaN for None
    span = max(_LEAST_SPAN, np.nanmax(np.abs(values), initial=0.0, where=~np.isnan(values)))

    figure = Figure(figsize=(3.2 + 1.05 * max(len(tasks), 2), 1.9 + 0.55 * len(rows)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(values, cmap="RdBu", vmin=-span, vmax=span, aspect="auto")
    for y, name in enumerate(rows):
        row = summary["rows"][name]
        for x, task in enumerate(tasks):
            value = values[y, x]
            if np.isnan(value):
                box = Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor="0.93", edgecolor="0.7", hatch="///", lw=0)
                axes.add_patch(box)
                text, colour = status(row) or "not measured", "black"
            else:
                mark = IN_DOMAIN_MARK if section == "results" and task in row["in_domain"] else ""
                text, colour = f"{signed(value)}{mark}", "white" if abs(value) > _DARK * span else "black"
            axes.text(x, y, text, ha="center", va="center", color=colour, fontsize=9 if len(text) < 8 else 7)
    baseline = summary["rows"].get(summary["baseline"], {}).get(section, {})
    headings = []
    for task in tasks:
        reference = baseline.get(task, {}).get("map")
        below = [f"({summary['baseline']} {reference['mean']:.1f})"] if reference else []
        headings.append("\n".join([*textwrap.wrap(printable(column_title(summary, task)), 13), *below]))
    axes.set_xticks(range(len(tasks)), headings, fontsize=8)
    axes.set_yticks(range(len(rows)), [printable(row_title(summary, name)) for name in rows], fontsize=9)
    for written in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        written.set_parse_math(False)
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.set_xticks(np.arange(len(tasks) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(rows) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=2)
    axes.tick_params(which="minor", length=0, top=False)
    figure.suptitle(title, fontsize=11)
    figure.colorbar(image, ax=axes, label="points of MAP", shrink=0.9)
    save_png(figure, path)
