"""Aggregates results by task: means over the sets of a task, macro-averages, in-domain tasks.

`Results` is the content of results.json. All functions read its `tasks` and `models` alone, not its `macro` and
`groups`, so they hold for joined results as well.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from uwe_jax.evaluation.leakage import IN_DOMAIN
from uwe_jax.evaluation.tasks.task import GROUPS

Results = dict[str, Any]
_HEADLINE = ("map", "rp@10")


def every_result(results: Results) -> Iterator[Mapping[str, Any]]:
    """Yields the results of all models on all tasks."""
    return (result for model in results["models"].values() for result in model["results"].values())


def metric_names(results: Results) -> list[str]:
    """Returns all metrics in the results, in their order."""
    return list(dict.fromkeys(name for result in every_result(results) for name in result["metrics"]))


def headline_metrics(results: Results) -> list[str]:
    """Returns MAP and RP@10 where they were measured, else the first metric that was."""
    names = metric_names(results)
    return [name for name in _HEADLINE if name in names] or names[:1]


def measured_tasks(results: Results) -> list[str]:
    """Returns the tasks with a result of any model: WorkBench in the paper's order, then the others."""
    groups = (*GROUPS, "")
    measured = {name for model in results["models"].values() for name in model["results"]}
    tasks = results["tasks"]
    return sorted((name for name in tasks if name in measured), key=lambda name: groups.index(tasks[name]["group"]))


def workbench_sets(results: Results) -> dict[str, list[str]]:
    """Returns the measured tasks that make up each of WorkBench's six, where there is one."""
    sets: dict[str, list[str]] = {}
    for name in measured_tasks(results):
        if group := results["tasks"][name]["group"]:
            sets.setdefault(group, []).append(name)
    return sets


def lacking_tasks(results: Results) -> dict[str, list[str]]:
    """Returns, by model, the WorkBench tasks and sets that other models have a result for and this one has not."""
    names = [name for members in workbench_sets(results).values() for name in members]
    lacking = {
        model: [name for name in names if name not in entry["results"]] for model, entry in results["models"].items()
    }
    return {model: missing for model, missing in lacking.items() if missing}


def group_means(
    tasks: Mapping[str, Mapping[str, Any]], measured: Mapping[str, Mapping[str, Any]], without: Collection[str] = ()
) -> dict[str, dict[str, float]]:
    """Averages the metrics of each measured WorkBench task over its sets; metrics by group.

    Args:
      tasks: by name; their `group` is read.
      measured: a model's results by task; their `metrics` are read.
      without: names of tasks that are left out.

    >>> tasks = {"tech": {"group": "skill_extraction"}, "house": {"group": "skill_extraction"}, "own": {"group": ""}}
    >>> group_means(tasks, {name: {"metrics": {"map": len(name)}} for name in tasks})
    {'skill_extraction': {'map': 4.5}}
    """
    sets: dict[str, list[Mapping[str, float]]] = {group: [] for group in GROUPS}
    for name, result in measured.items():
        if tasks[name]["group"] and name not in without:
            sets[tasks[name]["group"]].append(result["metrics"])
    return {group: _mean(metrics) for group, metrics in sets.items() if metrics}


def macro_average(groups: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Averages metrics over groups, each counting once however many sets it has; empty without groups.

    >>> macro_average({"job_to_skill": {"map": 20.0}, "skill_to_job": {"map": 30.0}})
    {'map': 25.0}
    """
    return _mean(list(groups.values())) if groups else {}


class Macro(NamedTuple):
    """A macro-average of all models.

    Attributes:
      title: shown in tables.
      values: metrics by model; empty for a model without results.
      groups: number of WorkBench's tasks averaged, by model.
      whole: by model, whether it has a result on every set that counts, so that it compares.
    """

    title: str
    values: dict[str, dict[str, float]]
    groups: dict[str, int]
    whole: dict[str, bool]


def macro_averages(results: Results) -> list[Macro]:
    """Averages over all measured WorkBench tasks and, if one is in-domain for a model, over the zero-shot ones."""
    measured = {name for members in workbench_sets(results).values() for name in members}
    leaked = in_domain_tasks(results) & measured
    left_out: dict[str, set[str]] = {"macro-average": set()} if measured else {}
    if leaked:
        left_out["zero-shot macro-average"] = leaked
    done = {model: entry["results"] for model, entry in results["models"].items()}
    found = []
    for title, without in left_out.items():
        groups = {model: group_means(results["tasks"], each, without) for model, each in done.items()}
        values = {model: macro_average(means) for model, means in groups.items()}
        counts = {model: len(means) for model, means in groups.items()}
        whole = {model: measured - without <= set(each) for model, each in done.items()}
        found.append(Macro(title, values, counts, whole))
    return found


def _mean(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    shared = [name for name in rows[0] if all(name in row for row in rows)]
    return {name: sum(row[name] for row in rows) / len(rows) for name in shared}


def is_in_domain(result: Mapping[str, Any] | None) -> bool:
    """Returns whether the model was trained on the task; False without a result or known training graphs."""
    return bool(result and result["leakage"] and result["leakage"]["domain"] == IN_DOMAIN)


def interval_of(result: Mapping[str, Any], metric: str) -> list[float] | None:
    """Returns the 95 % interval of a metric, if it was computed."""
    interval: list[float] | None = result.get("intervals", {}).get(metric)
    return interval


def in_domain_tasks(results: Results) -> set[str]:
    """Returns the tasks that are in-domain for at least one model; the others are zero-shot for all."""
    models = results["models"].values()
    return {name for model in models for name, result in model["results"].items() if is_in_domain(result)}
