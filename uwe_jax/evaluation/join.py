"""Joins models of earlier evaluations into the results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from uwe_jax.evaluation.aggregate import SCHEMA_VERSION, Results, label_weight, scored_with
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.json_file import read_json

# Scores on tasks that are equal in these are comparable.
_SAME = ("queries", "targets", "edges", "split", "origin", "notes")
# Shape of results.json, as far as it is read: "" is any key, None any value, and a tuple holds alternatives.
_NUMBER = (int, float)
_OPTIONAL = {
    "",
    "intervals",
    "truncated",
    "notes",
    "difference",
    "ndcg",
    "classification",
}  # of some models, or newer than others
_RESULT = {
    "metrics": {"": _NUMBER},
    "intervals": {"": [_NUMBER, _NUMBER]},
    "long_tail": [{"relevant_for": str, "targets": int, "pairs": int, "map": _NUMBER}, ...],
    "truncated": [str, ...],
    "notes": [str, ...],
    "leakage": (type(None), {"queries": int, "targets": int, "edges": int, "domain": str}),
    "difference": {"to": str, "map": [_NUMBER] * 3, "ndcg": [_NUMBER] * 3},
    "classification": {"threshold": _NUMBER, "metrics": {"": _NUMBER}, "intervals": {"": [_NUMBER, _NUMBER]}},
}
_MODEL = {"spec": str, "description": str, "seconds": {"": _NUMBER}, "results": {"": _RESULT}}
_RESULTS = {"settings": {}, "tasks": {"": dict.fromkeys(_SAME)}, "models": {"": _MODEL}}


def read_results(path: Path) -> Results:
    """Reads a results.json, or the one in a folder. Raises UserError: it does not exist, or holds something else."""
    file = path / "results.json" if path.is_dir() else path
    found = read_json(file, "Name the folder or results.json of an evaluation with --join.")
    version = found.get("schema_version", 0)  # older results have none
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise UserError(
            f"--join {file} has schema version {version}; this version of uwe_jax reads versions up to "
            f"{SCHEMA_VERSION}. Update uwe_jax, or measure its models again."
        )
    if not _fits(found, _RESULTS):
        raise UserError(f"--join {file} holds no results. Name the folder or results.json of an evaluation.")
    return found


def join_models(results: Results, other: Results, path: Path) -> list[str]:
    """Adds the models of another evaluation to `results`, for the tasks that both have.

    A model whose name is taken is not added. Only differences to the first model of the joined table are kept.

    Args:
      results: changed in place.
      other: from `read_results`.
      path: of the other results, for messages.

    Returns:
      The names of the models that were added.

    Raises:
      UserError: a task of the same name has other data or other settings, so that scores do not compare.
    """
    if other["settings"].get("max_tokens") != results["settings"]["max_tokens"]:
        raise UserError(
            f"--join {path} was measured at --max-tokens {other['settings'].get('max_tokens')}; this evaluation at "
            f"{results['settings']['max_tokens']}. Give the same."
        )
    if (there := label_weight(other)) != (here := label_weight(results)):
        raise UserError(
            f"--join {path} ranked {_ranked_by(there)}; this evaluation ranks {_ranked_by(here)}, so scores do not "
            "compare. Give the same --target-names and --label-weight."
        )
    if (before := scored_with(other)) != (now := scored_with(results)):
        raise UserError(f"--join {path} was measured with {before}; this evaluation with {now}. Give the same.")
    shared = [name for name in results["tasks"] if name in other["tasks"]]
    for name in shared:
        here, there = results["tasks"][name], other["tasks"][name]
        changed = [f"{key} {there[key]} there, {here[key]} now" for key in _SAME if there[key] != here[key]]
        if changed:
            raise UserError(
                f"--join {path}: {name} is not the same task ({'; '.join(changed)}), so its scores do not compare. "
                "Give the data, --split and --max-queries of that evaluation, or leave the task out with --tasks."
            )
    added = []
    for name, model in other["models"].items():
        found: dict[str, Any] = {task: dict(model["results"][task]) for task in shared if task in model["results"]}
        if found and name not in results["models"]:
            results["models"][name] = {**model, "results": found}
            added.append(name)
            first = next(iter(results["models"]))
            for task, result in found.items():
                if "difference" in result and not (
                    result["difference"]["to"] == first and _scores(results, first, task) == _scores(other, first, task)
                ):
                    del result["difference"]
    return added


def _ranked_by(weight: float | None) -> str:
    return "labels alone" if weight is None else f"all names of targets, the label's weight being {weight}"


def _scores(results: Results, model: str, task: str) -> Any:
    return results["models"].get(model, {}).get("results", {}).get(task, {}).get("metrics")


def _fits(value: Any, shape: Any) -> bool:
    """Returns whether a JSON value has the keys and types of a shape, and maybe further keys."""
    if isinstance(shape, dict):
        return (
            isinstance(value, dict)
            and shape.keys() - _OPTIONAL <= value.keys()
            and all(_fits(each, shape.get(key, shape.get(""))) for key, each in value.items())
        )
    if isinstance(shape, list):
        shapes = shape[:1] * len(value) if shape[-1] is ... and isinstance(value, list) else shape
        return isinstance(value, list) and len(value) == len(shapes) and all(map(_fits, value, shapes))
    if isinstance(shape, tuple):
        return any(_fits(value, each) for each in shape)
    return shape is None or (isinstance(value, shape) and not isinstance(value, bool))
