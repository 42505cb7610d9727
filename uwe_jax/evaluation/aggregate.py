"""Aggregates results by task: means over the sets of a task, macro-averages, in-domain tasks.

`Results` is the content of results.json. Its stored `macro` and `groups` are not read, so all of this holds for joined
results as well.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from uwe_jax.evaluation.leakage import IN_DOMAIN
from uwe_jax.evaluation.reference import IN_DOMAIN_MARK, IN_DOMAIN_MEANING, PAPER, PAPER_SETS, group_title
from uwe_jax.evaluation.tasks.languages import language_of
from uwe_jax.evaluation.tasks.task import GROUPS
from uwe_jax.runtime.markdown import MISSING, bold_best
from uwe_jax.scoring.words import LEAST_WORDS

Results = dict[str, Any]
SCHEMA_VERSION = 3  # of results.json: docs/evaluation.md lists its fields, and every change of them is a new version


def headline_metrics(names: Collection[str]) -> list[str]:
    """Returns MAP and RP@10 where they are among the metrics, else the first one."""
    return [name for name in ("map", "rp@10") if name in names] or list(names)[:1]


def is_in_domain(result: Mapping[str, Any] | None) -> bool:
    """Returns whether the model was trained on the task; False without a result or known training graphs."""
    return bool(result and result["leakage"] and result["leakage"]["domain"] == IN_DOMAIN)


def label_weight(results: Results) -> float | None:
    """Returns the weight of the label's own score where targets are ranked by all their names, else None."""
    weight: float | None = results["settings"].get("label_weight")
    return weight if results["settings"].get("target_names") else None


def scored_with(results: Results) -> dict[str, Any]:
    """Returns the options that change scores; results without them are of the defaults.

    Words of all queries counted up to schema version 2.
    """
    settings = results["settings"]
    described = settings["description_weight"] if settings.get("target_descriptions") else 0.0
    found = {name: settings.get(name, default) for name, default in (("words", 0.0), ("clean_queries", False))}
    least = LEAST_WORDS if found["words"] and results["schema_version"] > 2 else 0
    return {"description_weight": described, **found, "least_words": least}


def interval_of(result: Mapping[str, Any], metric: str) -> list[float] | None:
    """Returns the 95 % interval of a metric, if it was computed."""
    interval: list[float] | None = result.get("intervals", {}).get(metric)
    return interval


def language_mean(results: Results) -> str:
    """Returns the mean over languages, of `languages.MEANS`; older results are of one language."""
    return str(results["settings"].get("language_mean", "monolingual"))


def mean_over_sets(
    tasks: Mapping[str, Mapping[str, Any]], measured: Mapping[str, Mapping[str, Any]], mean: str = "monolingual"
) -> dict[str, float]:
    """Averages metrics over tasks that may be in several languages.

    Sets of a task (families) count alike, languages of a set count alike, and so do tasks of a set in one language.

    >>> tasks = {"tech": {"family": "tech"}, "tech_de": {"family": "tech"}, "house": {"family": "house"}}
    >>> mean_over_sets(tasks, {name: {"metrics": {"map": len(name)}} for name in tasks}, "all")
    {'map': 5.25}
    """
    by_family: dict[str, dict[str, list[Mapping[str, float]]]] = {}
    for name, result in measured.items():
        if (language := language_of(tasks[name], mean)) is not None:
            by_language = by_family.setdefault(tasks[name].get("family", name), {})
            by_language.setdefault(language, []).append(result["metrics"])
    return _mean([_mean([_mean(rows) for rows in each.values()]) for each in by_family.values()])


def language_means(
    tasks: Mapping[str, Mapping[str, Any]], measured: Mapping[str, Mapping[str, Any]], mean: str
) -> dict[str, dict[str, float]]:
    """Averages metrics over the tasks of every language; empty for the mean `all`, and without known languages."""
    of_language: dict[str, list[Mapping[str, float]]] = {}
    for name, result in measured.items():
        if language := language_of(tasks[name], mean):
            of_language.setdefault(language, []).append(result["metrics"])
    return {language: _mean(rows) for language, rows in sorted(of_language.items())}


def group_means(
    tasks: Mapping[str, Mapping[str, Any]],
    measured: Mapping[str, Mapping[str, Any]],
    without: Collection[str] = (),
    mean: str = "monolingual",
) -> dict[str, dict[str, float]]:
    """Averages the metrics of each measured WorkBench task over its sets and languages; metrics by group.

    Args:
      tasks: by name; their `group` is read.
      measured: a model's results by task; their `metrics` are read.
      without: names of tasks that are left out.
      mean: over languages, of `languages.MEANS`.

    >>> tasks = {"tech": {"group": "skill_extraction"}, "house": {"group": "skill_extraction"}, "own": {"group": ""}}
    >>> group_means(tasks, {name: {"metrics": {"map": len(name)}} for name in tasks})
    {'skill_extraction': {'map': 4.5}}
    """
    sets: dict[str, dict[str, Mapping[str, Any]]] = {group: {} for group in GROUPS}
    for name, result in measured.items():
        if tasks[name]["group"] and name not in without:
            sets[tasks[name]["group"]][name] = result
    means = {group: mean_over_sets(tasks, found, mean) for group, found in sets.items()}
    return {group: metrics for group, metrics in means.items() if metrics}


def macro_average(groups: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Averages metrics over groups, each counting once however many sets it has; empty without groups.

    >>> macro_average({"job_to_skill": {"map": 20.0}, "skill_to_job": {"map": 30.0}})
    {'map': 25.0}
    """
    return _mean(list(groups.values()))


def _mean(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    shared = [name for name in rows[0] if all(name in row for row in rows)] if rows else []
    return {name: sum(row[name] for row in rows) / len(rows) for name in shared}


def add_averages(results: Results) -> None:
    """Adds `groups`, `macro` and `languages` to every model of the results."""
    tasks, mean = results["tasks"], language_mean(results)
    for entry in results["models"].values():
        entry["groups"] = group_means(tasks, entry["results"], mean=mean)
        entry["languages"] = language_means(tasks, entry["results"], mean)
        entry["macro"] = macro_average(entry["groups"])


class Column(NamedTuple):
    """Metrics of all models on one task, or averaged over several.

    Attributes:
      values: metrics of each model, in the order of the table; empty without a result.
      counts: number of averaged sets or tasks of each model.
      whole: whether a model has a result on every set that counts, so that it compares.
      marks: of each model, such as " (1 of 2 sets)" or that of an in-domain result.
    """

    values: Sequence[Mapping[str, float]]
    counts: Sequence[int]
    whole: Sequence[bool]
    marks: Sequence[str]

    def cells(self, metrics: Iterable[str], *, digits: int = 2, bold: bool = True, unmarked: str = "") -> list[str]:
        """Formats a cell per model: its metrics, each with its own best in bold, and its mark or else `unmarked`."""
        competes = [bold and whole for whole in self.whole]
        numbers = [
            bold_best([row.get(name) for row in self.values], competes=competes, digits=digits) for name in metrics
        ]
        shown = [" / ".join(row) if value else MISSING for value, *row in zip(self.values, *numbers, strict=True)]
        return [cell + (mark or unmarked) for cell, mark in zip(shown, self.marks, strict=True)]


class ResultsView:
    """Results in the order in which they are shown.

    Attributes:
      label_weight, scored_with: of the functions of these names.
      tasks: by name, as in results.json.
      done: results by model and task.
      every: the results of all models on all tasks.
      metrics: all measured ones, in their order.
      headline: the metrics of the headline.
      names: tasks with a result of any model, WorkBench in the paper's order, then the others.
      workbench, further: the measured tasks of WorkBench, and those outside it.
      graded: the tasks of graded relevance.
      sets: the measured tasks that make up each of WorkBench's six, where there is one.
      language_mean: of the function of this name.
      averaged: the tasks of WorkBench that count for averages, in the order of `workbench`.
      in_domain: tasks that are in-domain for at least one model; the others are zero-shot for all.
    """

    def __init__(self, results: Results):
        self.label_weight, self.scored_with = label_weight(results), scored_with(results)
        self.tasks: dict[str, dict[str, Any]] = results["tasks"]
        self.done: dict[str, dict[str, Any]] = {name: model["results"] for name, model in results["models"].items()}
        self.every = [result for done in self.done.values() for result in done.values()]
        self.metrics = list(dict.fromkeys(name for result in self.every for name in result["metrics"]))
        self.headline = headline_metrics(self.metrics)
        measured = [name for name in self.tasks if any(name in done for done in self.done.values())]
        self.names = sorted(measured, key=lambda name: (*GROUPS, "").index(self.tasks[name]["group"]))
        self.workbench = [name for name in self.names if self.tasks[name]["group"]]
        self.further = [name for name in self.names if not self.tasks[name]["group"]]
        self.graded = {name for name in measured if "threshold" in self.tasks[name]}
        by_group = itertools.groupby(self.workbench, lambda name: str(self.tasks[name]["group"]))
        self.sets = {group: list(names) for group, names in by_group}
        results_of = [result for done in self.done.values() for result in done.items()]
        self.language_mean = language_mean(results)
        self.averaged = [
            name for name in self.workbench if language_of(self.tasks[name], self.language_mean) is not None
        ]
        self.in_domain = {name for name, result in results_of if is_in_domain(result)}

    def group(self, group: str) -> Column:
        """Averages the metrics of each model over the sets and languages of a task of WorkBench."""
        names = [name for name in self.averaged if self.tasks[name]["group"] == group]
        measured = [{name: done[name] for name in names if name in done} for done in self.done.values()]
        means = [mean_over_sets(self.tasks, each, self.language_mean) for each in measured]
        return self.column(names)._replace(values=means)

    def by_language(self) -> dict[str, list[dict[str, float]]]:
        """Returns the averages of every model by language, in the order of the table."""
        means = [language_means(self.tasks, done, self.language_mean) for done in self.done.values()]
        return {name: [each.get(name, {}) for each in means] for name in sorted({name for m in means for name in m})}

    def column(self, names: Sequence[str]) -> Column:
        """Averages the metrics of each model over the tasks `names` that it has a result on."""
        found = [[done[name] for name in names if name in done] for done in self.done.values()]
        counts = [len(results) for results in found]
        some = [f" ({count} of {len(names)} sets)" if 0 < count < len(names) else "" for count in counts]
        in_domain = [f" {IN_DOMAIN_MARK}" if any(map(is_in_domain, results)) else "" for results in found]
        values = [_mean([result["metrics"] for result in results]) for results in found]
        marks = [one + other for one, other in zip(some, in_domain, strict=True)]
        return Column(values, counts, [count == len(names) for count in counts], marks)

    def macros(self) -> dict[str, Column]:
        """Averages over all measured WorkBench tasks and, if one is in-domain for a model, over the zero-shot ones."""
        workbench = set(self.averaged)
        left_out: dict[str, set[str]] = {"macro-average": set()} if workbench else {}
        if leaked := self.in_domain & workbench:
            left_out["zero-shot macro-average"] = leaked
        columns = {}
        for title, without in left_out.items():
            groups = [group_means(self.tasks, done, without, self.language_mean) for done in self.done.values()]
            whole = [workbench - without <= done.keys() for done in self.done.values()]
            values = [macro_average(means) for means in groups]
            columns[title] = Column(values, [len(means) for means in groups], whole, [""] * len(groups))
        return columns

    def names_note(self) -> list[str]:
        """Returns sentences on how names, words and queries are used, where that is not the default."""
        found = []
        if (weight := self.label_weight) is not None:
            found.append(
                f"Targets are ranked by all their names: {weight:g} of the score of the label and {1 - weight:g} of "
                "that of the best name (--target-names). Published figures, the paper's included, are of labels alone "
                "and do not compare with them."
            )
        if weight := self.scored_with["description_weight"]:
            found.append(
                f"Of the score of a target with descriptions, {weight:g} is that of the best one, the rest as without "
                "them (--target-descriptions)."
            )
        if weight := self.scored_with["words"]:
            found.append(
                f"Scores of encoders for queries of {LEAST_WORDS} words or more have {weight:g} of the TF-IDF cosine "
                "of words in common added (--words)."
            )
        if self.scored_with["clean_queries"]:
            found.append("Encoders read queries without bullets, gender markers, final full stops (--clean-queries).")
        return found

    def notes(self) -> list[str]:
        """Returns sentences on what the averages are over, and on what they do not compare with."""
        missing = [group_title(group).lower() for group in GROUPS if group not in self.sets]
        missed = f"; missing: {', '.join(missing)}" if missing else ""
        found = []
        if self.sets:
            found.append(
                f"Measured: {len(self.sets)} of {len(GROUPS)} tasks{missed}. The figures of the paper ({PAPER}) are "
                "over all six: a macro-average over fewer tasks, over other splits or over other versions of ESCO is "
                "not comparable with them."
            )
        found += [
            f"{group_title(group)} is the mean over {len({self._family(name) for name in self.sets[group]})} of the "
            f"paper's {of_paper} sets and counts as one task."
            for group, of_paper in PAPER_SETS.items()
            if group in self.sets
        ]
        found += self._language_notes()
        found += [
            f"{model} has no result on {self._titles(lacking)}; its macro-average is over other tasks than the "
            "others' and is not compared with them."
            for model, done in self.done.items()
            if (lacking := [name for name in self.averaged if name not in done])
        ]
        if self.in_domain:
            leaked = self._titles([name for name in self.workbench if name in self.in_domain])
            without = (
                " The zero-shot macro-average leaves out, for all models, the tasks that are in-domain for one of "
                f"them: {leaked}."
            )
            found.append(f"{IN_DOMAIN_MARK} in-domain: {IN_DOMAIN_MEANING}.{without if leaked else ''}")
        return found

    def _language_notes(self) -> list[str]:
        found = []
        if left := [name for name in self.workbench if name not in self.averaged]:
            found.append(
                f"Not averaged, as queries and targets are in two languages (--language-mean monolingual): "
                f"{self._titles(left)}."
            )
        if len({self._family(name) for name in self.averaged}) < len(self.averaged):
            counts = {
                "all": "all sets of a task count alike, whatever their languages",
                "monolingual": "languages of a task count alike",
            }
            by = counts.get(self.language_mean, f"{self.language_mean} languages of a task count alike")
            found.append(f"Averages are over several languages: {by}.")
        return found

    def _family(self, name: str) -> str:
        return str(self.tasks[name].get("family", name))

    def _titles(self, names: Iterable[str]) -> str:
        return ", ".join(self.tasks[name]["title"] for name in names)
