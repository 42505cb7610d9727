"""What follows from the results by task: means over the sets of a task, macro-averages, what is in-domain.

`Results` is the content of results.json. All functions read its `tasks` and `models`, and none its `macro` and
`groups`, so that what is made from several joined results is right without further care.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from uwe_jax.evaluation.leakage import IN_DOMAIN
from uwe_jax.evaluation.tasks.task import GROUPS

Results = dict[str, Any]
_HEADLINE = ("map", "rp@10")


def metric_names(results: Results) -> list[str]:
    """All metrics that stand in the results, in their order."""
    found = [result["metrics"] for model in results["models"].values() for result in model["results"].values()]
    return list(dict.fromkeys(name for metrics in found for name in metrics))


def headline_metrics(results: Results) -> list[str]:
    """MAP and RP@10 where they were measured, else the first metric that was."""
    names = metric_names(results)
    return [name for name in _HEADLINE if name in names] or names[:1]


def measured_tasks(results: Results) -> list[str]:
    """Tasks that at least one model has a result for: WorkBench in the paper's order, then those beside it."""
    groups = (*GROUPS, "")
    measured = {name for model in results["models"].values() for name in model["results"]}
    tasks = results["tasks"]
    return sorted((name for name in tasks if name in measured), key=lambda name: groups.index(tasks[name]["group"]))


def workbench_sets(results: Results) -> dict[str, list[str]]:
    """The measured tasks that make up each of WorkBench's six, where there is one."""
    tasks = results["tasks"]
    names = measured_tasks(results)
    sets = {group: [name for name in names if tasks[name]["group"] == group] for group in GROUPS}
    return {group: members for group, members in sets.items() if members}


def lacking_tasks(results: Results) -> dict[str, list[str]]:
    """WorkBench tasks and sets that other models have a result for and this one has not, for models that lack any."""
    names = [name for members in workbench_sets(results).values() for name in members]
    lacking = {
        model: [name for name in names if name not in entry["results"]] for model, entry in results["models"].items()
    }
    return {model: missing for model, missing in lacking.items() if missing}


def group_means(
    tasks: Mapping[str, Mapping[str, Any]], measured: Mapping[str, Mapping[str, Any]], without: Collection[str] = ()
) -> dict[str, dict[str, float]]:
    """Each of WorkBench's tasks that was measured, as the mean over its sets: metrics by group.

    Args:
      tasks: by name; their `group` is read.
      measured: a model's results by task; their `metrics` are read.
      without: names of tasks that are left out.

    >>> tasks = {"tech": {"group": "skill_extraction"}, "house": {"group": "skill_extraction"}, "own": {"group": ""}}
    >>> group_means(tasks, {name: {"metrics": {"map": len(name)}} for name in tasks})
    {'skill_extraction': {'map': 4.5}}
    """
    means = {}
    for group in GROUPS:
        sets = [
            result["metrics"]
            for name, result in measured.items()
            if tasks[name]["group"] == group and name not in without
        ]
        if sets:
            means[group] = _mean(sets)
    return means


def macro_average(groups: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The mean over groups, a group counting once however many sets it has; empty without groups.

    >>> macro_average({"job_to_skill": {"map": 20.0}, "skill_to_job": {"map": 30.0}})
    {'map': 25.0}
    """
    return _mean(list(groups.values())) if groups else {}


class Macro(NamedTuple):
    """A macro-average of all models.

    Attributes:
      title: as tables show it.
      values: metrics by model; empty where it was measured on nothing of it.
      groups: by model, over how many of WorkBench's tasks.
      whole: by model, whether it has a result on every set that counts, so that it compares.
    """

    title: str
    values: dict[str, dict[str, float]]
    groups: dict[str, int]
    whole: dict[str, bool]


def macro_averages(results: Results) -> list[Macro]:
    """Over all that was measured of WorkBench and, where a task is in-domain for a model, over the zero-shot ones."""
    measured = {name for members in workbench_sets(results).values() for name in members}
    leaked = in_domain_tasks(results) & measured
    left_out: dict[str, set[str]] = {"macro-average": set()} if measured else {}
    if leaked:
        left_out["zero-shot macro-average"] = leaked
    done = {model: entry["results"] for model, entry in results["models"].items()}
    found = []
    for title, without in left_out.items():
        groups = {model: group_means(results["tasks"], each, without) for model, each in done.items()}
        found.append(
            Macro(
                title,
                {model: macro_average(means) for model, means in groups.items()},
                {model: len(means) for model, means in groups.items()},
                {model: measured - without <= set(each) for model, each in done.items()},
            )
        )
    return found


def _mean(rows: list[Mapping[str, float]]) -> dict[str, float]:
    shared = [name for name in rows[0] if all(name in row for row in rows)]
    return {name: sum(row[name] for row in rows) / len(rows) for name in shared}


def is_in_domain(result: Mapping[str, Any] | None) -> bool:
    """Whether the model was trained on the task itself; without a result or known training graphs it was not."""
    return bool(result and result["leakage"] and result["leakage"]["domain"] == IN_DOMAIN)


def interval_of(result: Mapping[str, Any], metric: str) -> list[float] | None:
    """The 95 % interval of a metric, where one was drawn."""
    interval: list[float] | None = result.get("intervals", {}).get(metric)
    return interval


def in_domain_tasks(results: Results) -> set[str]:
    """Tasks that are in-domain for at least one model: without them all models stand on the same zero-shot ground."""
    return {
        name
        for model in results["models"].values()
        for name, result in model["results"].items()
        if is_in_domain(result)
    }


def compared_with(results: Results) -> str:
    """The model that the others' `difference` is to; empty where none was compared."""
    found = (result for model in results["models"].values() for result in model["results"].values())
    return next((result["difference"]["to"] for result in found if "difference" in result), "")
