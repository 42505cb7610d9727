"""Loads training graphs without the texts of evaluation tasks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from uwe_jax.config import COMBINED, SourceSettings
from uwe_jax.data.decontamination import ExcludedTexts
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.data.training_hashes import task_hashes
from uwe_jax.evaluation.tasks.catalogue import CATALOGUE, EVERY, in_languages, variants
from uwe_jax.evaluation.tasks.languages import Pair
from uwe_jax.evaluation.tasks.task import TaskDataMissing, TaskSources
from uwe_jax.runtime.files import cache_folder
from uwe_jax.runtime.kinds import SKILL
from uwe_jax.sources.catalogue import load_composition, with_local_paths
from uwe_jax.sources.esco.release import plain_languages
from uwe_jax.sources.folders import check_folder
from uwe_jax.sources.mixture.parts import Composition

# Tasks whose splits are the labels and relations of ESCO itself. Training on ESCO's own graphs is training on them,
# and the evaluation reports it as in-domain; there is nothing to exclude from other sources.
_TAXONOMY = {
    ("job_to_skill", "test"),
    ("skill_to_job", "test"),
    ("skill_normalisation", "validation"),
    ("skill_normalisation", "test"),
}


def load_training_graphs(settings: SourceSettings) -> GraphSet:
    """Loads the graphs of `load_training_composition`, without the provenance of their edges."""
    return load_training_composition(settings).graphs


def load_training_composition(settings: SourceSettings) -> Composition:
    """Reads the sources that the settings name, without the evaluation texts that `source.decontaminate` excludes.

    Raises:
      UserError: as of `load_composition`; `tasks_path` is not a folder, or the data of a task is broken.
    """
    settings = with_local_paths(settings)
    return load_composition(settings, _excluded_texts(settings))


def _excluded_texts(settings: SourceSettings) -> ExcludedTexts | None:
    """Reads the queries and relevant pairs of the task splits in `source.decontaminate`.

    Tasks are read in the languages of the sources and in English. The data is searched in `source.tasks_path`, else in
    the folders of all sources, never on the hub. None where nothing is to be excluded, or no folder is named. Tasks
    that are ESCO itself or not split have nothing to exclude.
    """
    if not settings.decontaminate:
        return None
    parts = settings.parts.values() if settings.source == COMBINED else ()
    if settings.tasks_path:
        folders = [Path(settings.tasks_path).expanduser()]
        check_folder(folders[0], "Expected the folder of the evaluation tasks' data: set source.tasks_path to it.")
    else:
        # A path that is not a folder is reported by its source.
        paths = [settings.path, *(part.path for part in parts if part.weight > 0)]
        named = dict.fromkeys(Path(path).expanduser() for path in paths if path)
        folders = [folder for folder in named if folder.is_dir()]
    if not folders and settings.source != COMBINED:
        return None

    queries: dict[str, list[np.ndarray]] = {}
    pairs: list[np.ndarray] = []
    found, missing = [], []
    languages = [settings.language, *(part.language for part in parts if part.weight > 0)]
    asked = [Pair(each, each) for each in dict.fromkeys(plain_languages(",".join((*languages, "en"))))]
    splits = [
        (spec, pair, split)
        for spec, pair, lacking in variants(list(EVERY.values()), asked)
        for split in settings.decontaminate
        if split in spec.splits and not lacking
    ]
    sources = TaskSources(tuple(folders), cache_folder(settings.cache_dir), offline=True)
    for spec, pair, split in splits:
        if (spec.name, split) in _TAXONOMY:
            continue
        name = f"{spec.title} ({f'{pair}, ' if pair.suffix and not spec.family else ''}{split})"
        try:
            task = spec.load(in_languages(sources, pair), split)
        except TaskDataMissing:
            missing += [name] if spec.name in CATALOGUE else []  # the sets of MELO and MELS are too many to list
            continue
        found.append(name)
        hashes, _, related = task_hashes(task.queries, task.targets, task.relevant)
        pairs.append(related)
        if task.query_kind != SKILL:
            queries.setdefault(task.query_kind, []).append(hashes)
    return ExcludedTexts(
        {kind: np.unique(np.concatenate(hashes)) for kind, hashes in queries.items()},
        np.unique(np.concatenate(pairs)) if pairs else np.empty(0, np.uint64),
        tuple(found),
        tuple(missing),
    )
