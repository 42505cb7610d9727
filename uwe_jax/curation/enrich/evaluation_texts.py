"""Texts of evaluation tasks, which no new text may repeat."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from uwe_jax.curation.enrich.copies import Texts
from uwe_jax.evaluation.tasks.catalogue import CATALOGUE
from uwe_jax.evaluation.tasks.spec import TaskDataMissing, TaskSources
from uwe_jax.runtime.progress import say


class EvaluationTexts(Texts):
    """Queries of evaluation tasks, with the names of their tasks and splits, and of those without data."""

    def __init__(self, texts: Iterable[str] = (), run: int = 0):
        super().__init__(texts, run)
        self.found: list[str] = []
        self.missing: list[str] = []


def read_evaluation_texts(
    folders: Sequence[str], *, run: int, cache_dir: Path, language: str = "en"
) -> EvaluationTexts:
    """Reads the queries of every task of the catalogue, in every split found in the folders; offline.

    Reports which splits were found: new texts are not compared with the others.

    Args:
      folders: with the downloads of the tasks.
      run: consecutive words that make a copy of a sentence, as of `Texts`.
      cache_dir: of prepared data.
      language: of ESCO's labels.

    Raises:
      UserError: a folder does not exist, or data in it is damaged.
    """
    texts = EvaluationTexts(run=run)
    if not folders:
        say("No folder with the data of evaluation tasks is named in data, so new texts are not compared with theirs.")
        return texts
    sources = TaskSources(tuple(Path(folder) for folder in folders), cache_dir, language=language, offline=True)
    for spec in CATALOGUE.values():
        for split in spec.splits:
            try:
                task = spec.load(sources, split)
            except TaskDataMissing:
                texts.missing.append(f"{spec.name} ({split})")
                continue
            texts.found.append(f"{spec.name} ({split})")
            for query in task.queries:
                texts.add(query, runs=task.query_kind == "vacancy")  # a sentence may well contain the name of a job
    say(
        f"Guarding {len(texts):,} queries of evaluation tasks: {', '.join(texts.found) or 'none'}. Not in "
        f"{sources.listed}: {', '.join(texts.missing) or 'none'}."
    )
    return texts
