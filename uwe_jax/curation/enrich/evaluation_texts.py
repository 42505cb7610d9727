"""Texts of evaluation tasks, which no new text may repeat."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from uwe_jax.curation.enrich.copies import Texts
from uwe_jax.evaluation.tasks.catalogue import CATALOGUE
from uwe_jax.evaluation.tasks.spec import TaskDataMissing, TaskSources
from uwe_jax.runtime.progress import say


class EvaluationTexts(Texts):
    """Queries of evaluation tasks.

    Args:
      sentences: queries of which a run of words is a copy as well.
      labels: names of skills and jobs; a sentence on a skill may well contain its name.
      run: consecutive words that make a copy.
      found: names of the tasks and splits they are from.
      missing: names of those whose data was not found.
    """

    def __init__(
        self,
        sentences: Iterable[str],
        labels: Iterable[str],
        run: int,
        found: Sequence[str] = (),
        missing: Sequence[str] = (),
    ):
        super().__init__(sentences, run)
        for label in labels:
            self.add(label, runs=False)
        self.found, self.missing = tuple(found), tuple(missing)


def read_evaluation_texts(
    folders: Sequence[str], *, run: int, cache_dir: Path, language: str = "en"
) -> EvaluationTexts:
    """Reads the queries of every task of the catalogue, in every split found in the folders; offline.

    Reports which splits were found: new texts are not compared with the others.

    Args:
      folders: with the downloads of the tasks.
      run: as of `EvaluationTexts`.
      cache_dir: of prepared data.
      language: of ESCO's labels.

    Raises:
      UserError: a folder does not exist, or data in it is damaged.
    """
    if not folders:
        say("No folder with the data of evaluation tasks is named in data, so new texts are not compared with theirs.")
        return EvaluationTexts((), (), run)
    sources = TaskSources(tuple(Path(folder) for folder in folders), cache_dir, language=language, offline=True)
    sentences: list[str] = []
    labels: list[str] = []
    found, missing = [], []
    for spec in CATALOGUE.values():
        for split in spec.splits:
            try:
                task = spec.load(sources, split)
            except TaskDataMissing:
                missing.append(f"{spec.name} ({split})")
            else:
                (sentences if task.query_kind == "vacancy" else labels).extend(task.queries)
                found.append(f"{spec.name} ({split})")
    read = EvaluationTexts(sentences, labels, run, found, missing)
    say(
        f"Guarding {len(read):,} queries of evaluation tasks: {', '.join(found) or 'none'}. Not in {sources.listed}: "
        f"{', '.join(missing) or 'none'}."
    )
    return read
