"""Finds the texts of evaluation tasks that training graphs must not hold, and loads graphs without them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from uwe_jax.config import COMBINED, SourceSettings
from uwe_jax.data.decontamination import ExcludedTexts
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.data.training_hashes import task_hashes
from uwe_jax.evaluation.tasks.catalogue import CATALOGUE
from uwe_jax.evaluation.tasks.spec import TaskDataMissing, TaskSources
from uwe_jax.runtime.files import cache_folder
from uwe_jax.runtime.kinds import SKILL
from uwe_jax.sources.catalogue import load_composition, with_local_paths
from uwe_jax.sources.folders import check_folder
from uwe_jax.sources.mixture.parts import Composition

# Tasks whose halves are the labels and relations of ESCO itself. Who names ESCO's own graphs in a configuration trains
# on them, and the evaluation calls the result in-domain; there is nothing that could be kept out of the other sources.
_TAXONOMY = {("job_to_skill", "test"), ("skill_to_job", "test")} | {
    ("skill_normalisation", half) for half in ("validation", "test")
}


def load_training_graphs(settings: SourceSettings) -> GraphSet:
    """Loads the graphs of `load_training_composition`, without the provenance of their edges."""
    return load_training_composition(settings).graphs


def load_training_composition(settings: SourceSettings) -> Composition:
    """Reads the sources that the settings name, without the evaluation texts that `source.keep_out` excludes.

    Raises:
      UserError: as of `load_composition` and `excluded_texts`.
    """
    settings = with_local_paths(settings)
    return load_composition(settings, excluded_texts(settings))


def excluded_texts(settings: SourceSettings) -> ExcludedTexts | None:
    """Finds what `source.keep_out` excludes, in `source.tasks_path`, else in the folders of all sources.

    Returns:
      None where nothing is to be excluded, or no folder is named.

    Raises:
      UserError: `tasks_path` is not a folder, or the data of a task is broken.
    """
    if not settings.keep_out:
        return None
    if settings.tasks_path:
        folders = [Path(settings.tasks_path).expanduser()]
        check_folder(folders[0], "Expected the folder of the evaluation tasks' data: set source.tasks_path to it.")
    else:
        # A path that is not a folder is reported by its source.
        paths = (
            [part.path for part in settings.parts.values() if part.weight > 0] if settings.source == COMBINED else []
        )
        named = dict.fromkeys(Path(path).expanduser() for path in (settings.path, *paths) if path)
        folders = [folder for folder in named if folder.is_dir()]
    if not folders and settings.source != COMBINED:
        return None
    return read_excluded_texts(folders, settings.keep_out, cache_folder(settings.cache_dir))


def read_excluded_texts(folders: Sequence[Path], halves: Sequence[str], cache_dir: Path) -> ExcludedTexts:
    """Reads the queries and relevant pairs of the halves of all tasks that folders of downloads hold.

    The hub is not asked.

    Tasks that are ESCO itself, and those that their publisher does not split, have no half that could be kept out.

    Args:
      folders: of the downloads, searched in this order.
      halves: of test and validation.
      cache_dir: where datasets prepared from the hub are.

    Raises:
      UserError: one of the folders is none, or a task's data is there and broken.
    """
    queries: dict[str, list[np.ndarray]] = {}
    pairs: list[np.ndarray] = []
    found, missing = [], []
    wanted = [(spec, half) for spec in CATALOGUE.values() for half in halves if half in spec.splits]
    wanted = [(spec, half) for spec, half in wanted if (spec.name, half) not in _TAXONOMY]
    sources = TaskSources(tuple(folders), cache_dir, offline=True)
    for spec, half in wanted:
        name = f"{spec.title} ({half})"
        try:
            task = spec.load(sources, half)
        except TaskDataMissing:
            missing.append(name)
            continue
        found.append(name)
        q, _, related = task_hashes(task.queries, task.targets, task.relevant)
        pairs.append(related)
        if task.query_kind != SKILL:
            queries.setdefault(task.query_kind, []).append(q)
    return ExcludedTexts(
        {kind: np.unique(np.concatenate(hashes)) for kind, hashes in queries.items()},
        np.unique(np.concatenate(pairs)) if pairs else np.empty(0, np.uint64),
        tuple(found),
        tuple(missing),
    )
