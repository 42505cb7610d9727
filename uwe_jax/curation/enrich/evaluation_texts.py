"""The texts of evaluation tasks, which no new text may repeat."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from uwe_jax.curation.enrich.copies import Texts
from uwe_jax.evaluation.tasks.catalogue import CATALOGUE
from uwe_jax.evaluation.tasks.spec import TaskDataMissing, TaskSources

LOG = logging.getLogger(__name__)


class EvaluationTexts(Texts):
    """The queries of evaluation tasks.

    Args:
      sentences: queries of which a run of words is a copy as well.
      labels: names of skills and jobs; a sentence on a skill may well hold its name.
      run: words in a row that make a copy.
      found: names of the tasks and splits they are from.
      missing: names of those that were not there.
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
        self.found = tuple(found)
        self.missing = tuple(missing)


def read_evaluation_texts(
    folders: Sequence[str], *, run: int, cache_dir: Path, language: str = "en"
) -> EvaluationTexts:
    """Reads the queries of every task of the catalogue, in every split that lies in the folders; never asks the hub.

    Says which splits were found and which were not: what is not found is not guarded against.

    Args:
      folders: with the downloads of the tasks.
      run: as of `EvaluationTexts`.
      cache_dir: where prepared data is kept.
      language: of ESCO's labels.

    Raises:
      UserError: one of the folders is none, or data in it is broken.
    """
    if not folders:
        LOG.warning(
            "No folder with the data of evaluation tasks is named in data, so new texts are not compared with theirs."
        )
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
    LOG.info(
        f"Guarding {len(read):,} queries of evaluation tasks: {', '.join(found) or 'none'}. Not in {sources.listed}: "
        f"{', '.join(missing) or 'none'}."
    )
    return read
