"""Results of an evaluation as objects, which show as tables in a terminal and in a notebook."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from uwe_jax.evaluation.aggregate import Results, ResultsView
from uwe_jax.evaluation.markdown_report import summary
from uwe_jax.evaluation.tasks.task import RankingTask
from uwe_jax.evaluation.terminal import notes_and_skipped, summary_table, terminal_table
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.optional_imports import extra_library
from uwe_jax.runtime.settings import did_you_mean
from uwe_jax.runtime.text_table import html_table
from uwe_jax.scoring.statistics import paired_bootstrap


class Difference(NamedTuple):
    """Difference to the model `to` in points, with the 95 % interval of the paired bootstrap."""

    to: str
    mean: float
    low: float
    high: float

    @property
    def significant(self) -> bool:
        """Returns whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class TaskResult:
    """Results of one model on one task, in percent.

    Attributes:
      model, task: names.
      metrics: means over the queries.
      intervals: 95 % bootstrap intervals (low, high) by metric; empty without bootstrap.
      difference: of MAP to the first model; None for that one, without bootstrap, or if another run measured it.
      per_query: by metric, float64 [q], in the order of `queries`; empty for a model of an earlier evaluation.
      queries: q texts.
      leakage, long_tail, truncated, classification: as in results.json.
    """

    model: str
    task: str
    metrics: Mapping[str, float]
    intervals: Mapping[str, Sequence[float]]
    difference: Difference | None
    per_query: Mapping[str, np.ndarray] = field(repr=False)
    queries: tuple[str, ...] = field(repr=False)
    leakage: Mapping[str, Any] | None
    long_tail: Sequence[Mapping[str, Any]] = field(repr=False)
    truncated: Sequence[str]
    classification: Mapping[str, Any] | None = None


class Evaluation:
    """Results of models on tasks: iterates over every `TaskResult`, and `evaluation[model, task]` is one of them.

    Attributes:
      results: the content of results.json.
      tasks: by name, with the measured queries.
      failed: models, or models on tasks, that failed, each with the reason.
    """

    def __init__(self, results: Results, tasks: Sequence[RankingTask]):
        self.results = results
        self.tasks = {task.name: task for task in tasks}
        self.failed: list[tuple[str, str]] = []
        self._per_query: dict[tuple[str, str], dict[str, np.ndarray]] = {}

    def add_per_query(self, model: str, task: str, fractions: Mapping[str, np.ndarray]) -> None:
        """Adds metrics per query, float64 [q] in [0, 1]."""
        self._per_query[model, task] = {name: 100.0 * values for name, values in fractions.items()}

    @property
    def models(self) -> list[str]:
        """Names of the models, in the order of the tables."""
        return list(self.results["models"])

    @property
    def skipped(self) -> list[dict[str, str]]:
        """Lists what was not measured: `task` and `reason` of each."""
        return list(self.results["skipped"])

    @property
    def failure(self) -> str:
        """Sentence on the models that failed, with the reason of the first; empty if none did."""
        if not self.failed:
            return ""
        _, reason = self.failed[0]
        rest = (
            f"all else is in the tables. The reason of the first: {reason}"
            if len(self)
            else "so nothing was measured; the lines above say why."
        )
        return f"{', '.join(what for what, _ in self.failed)} failed, {rest}"

    def __iter__(self) -> Iterator[TaskResult]:
        for model, entry in self.results["models"].items():
            for task in entry["results"]:
                yield self._result(model, task)

    def __len__(self) -> int:
        return sum(len(entry["results"]) for entry in self.results["models"].values())

    def __getitem__(self, key: tuple[str, str]) -> TaskResult:
        model, task = key
        _known("model", model, self.results["models"])
        _known("task", task, self.results["models"][model]["results"])
        return self._result(model, task)

    def _result(self, model: str, task: str) -> TaskResult:
        found = self.results["models"][model]["results"][task]
        difference = found.get("difference")
        return TaskResult(
            model,
            task,
            found["metrics"],
            found["intervals"],
            Difference(difference["to"], *difference["map"]) if difference else None,
            self._per_query.get((model, task), {}),
            self.tasks[task].queries,
            found["leakage"],
            found["long_tail"],
            found.get("truncated", ()),
            found.get("classification"),
        )

    def macro(self, model: str) -> dict[str, float]:
        """Returns the macro-average of a model over WorkBench's tasks, by metric; empty without any of them."""
        _known("model", model, self.results["models"])
        return dict(self.results["models"][model]["macro"])

    def difference(self, model: str, to: str, task: str, metric: str = "map", *, samples: int = 1000) -> Difference:
        """Compares two models on a task by the paired bootstrap over the same queries.

        Raises:
          UserError: an unknown name, or a model of an earlier evaluation, of which there are no metrics per query.
        """
        sides = []
        for name in (model, to):
            found = self[name, task].per_query
            if not found:
                raise UserError(f"{name} was joined from an earlier evaluation, without metrics per query. Measure it.")
            _known("metric", metric, found)
            sides.append(found[metric])
        return Difference(to, *paired_bootstrap(*sides, samples=samples))

    def rows(self, *, per_query: bool = False) -> list[dict[str, Any]]:
        """Returns the rows of `to_pandas` as dictionaries."""
        if per_query:
            return [
                {"model": each.model, "task": each.task, "position": position, "query": query}
                | {name: float(values[position]) for name, values in each.per_query.items()}
                for each in self
                if each.per_query
                for position, query in enumerate(each.queries)
            ]
        rows = []
        for each in self:
            task = self.results["tasks"][each.task]
            for metric, value in each.metrics.items():
                low, high = each.intervals.get(metric, (None, None))
                to, *points = each.difference if each.difference and metric == "map" else (None,) * 4
                rows.append(
                    {
                        "model": each.model,
                        "task": each.task,
                        **{name: task[name] for name in ("title", "group", "split", "queries", "targets")},
                        **{"metric": metric, "value": value, "low": low, "high": high},
                        **dict(zip(("difference", "difference_low", "difference_high"), points, strict=True)),
                        "difference_to": to,
                    }
                )
        return rows

    def to_pandas(self, *, per_query: bool = False) -> Any:
        """Returns a DataFrame, in percent.

        Args:
          per_query: a row per model, task and query, with the metrics as columns, instead of a row per model, task and
            metric with its interval and, for MAP, the difference to the first model.

        Raises:
          UserError: pandas is not installed.
        """
        pandas = extra_library(
            "pandas", use="to_pandas()", extra="pandas", otherwise="; rows() gives the same as a list."
        )
        return pandas.DataFrame(self.rows(per_query=per_query))

    def __repr__(self) -> str:
        return terminal_table(self.results)

    def _repr_html_(self) -> str:
        view = ResultsView(self.results)
        notes = notes_and_skipped(self.results, view)
        return html_table(summary_table(view, [*view.done])) + "".join(f"<p>{html.escape(note)}</p>" for note in notes)

    def _repr_markdown_(self) -> str:
        return summary(self.results)


def _known(kind: str, name: str, names: Any) -> None:
    if name not in names:
        raise UserError(
            f"There is no {kind} {name!r}.{did_you_mean(name, names)} There are {', '.join(names) or 'none'}."
        )
