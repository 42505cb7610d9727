"""What a cell measured, in one form wherever it stands."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from uwe_jax.evaluation.aggregate import is_in_domain

T = TypeVar("T")
MACRO = "macro"
EVALUATION = Path("evaluation") / "results.json"
SUMMARY = Path("training") / "summary.json"

Metrics = dict[str, dict[str, float]]  # metrics in percent, by task; MACRO stands among the tasks


@dataclass(frozen=True)
class Scores:
    """The scores of one trained model or frozen encoder.

    Attributes:
      results: on the tasks of the evaluation, where there was one.
      held_out: on held-out nodes of its own training graphs, where it was trained.
      tasks: what results.json says of each task.
      in_domain: tasks that have edges in the training graphs.
      skipped: tasks that could not be measured, with the reason.
    """

    results: Metrics
    held_out: Metrics
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    in_domain: frozenset[str] = frozenset()
    skipped: tuple[dict[str, str], ...] = ()


def read_scores(folder: Path) -> Scores:
    """Reads what the stages of a cell left in its folder.

    Raises:
      ValueError: a file is broken or lacks what its command writes.
    """
    held_out = _read(folder / SUMMARY, _held_out) if (folder / SUMMARY).exists() else {}
    if not (folder / EVALUATION).exists():
        return Scores({}, held_out)
    return dataclasses.replace(_read(folder / EVALUATION, _evaluation), held_out=held_out)


def _read(path: Path, interpret: Callable[[dict[str, Any]], T]) -> T:
    try:
        return interpret(json.loads(path.read_text()))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not what its command writes ({error!r}).") from error


def _evaluation(content: dict[str, Any]) -> Scores:
    (model,) = content["models"].values()
    results = {name: dict(result["metrics"]) for name, result in model["results"].items()}
    if model["macro"]:
        results[MACRO] = dict(model["macro"])
    in_domain = frozenset(name for name, result in model["results"].items() if is_in_domain(result))
    return Scores(results, {}, dict(content["tasks"]), in_domain, tuple(content["skipped"]))


def _held_out(summary: dict[str, Any]) -> Metrics:
    """The table of a training run by ranking, its macro-average under MACRO."""
    after = summary["after"]
    metrics = {
        name: {"map": each["map"], "rp@10": each["rp@10"]} for name, each in after.items() if isinstance(each, dict)
    }
    return {**metrics, MACRO: {"map": after["macro_map"], "rp@10": after["macro_rp@10"]}}
