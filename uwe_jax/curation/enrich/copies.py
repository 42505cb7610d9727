"""Copies of examples and of evaluation texts: word by word, by a run of words, or nearly."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from uwe_jax.data.text import comparable
from uwe_jax.evaluation.lexical import words
from uwe_jax.evaluation.tasks.catalogue import CATALOGUE, EVERY
from uwe_jax.evaluation.tasks.task import TaskDataMissing, TaskSources
from uwe_jax.runtime.files import data_folders

LOG = logging.getLogger(__name__)


# Shorter texts have so many words in common by chance that only equal ones count as copies; and by so few words
# "C++ developer" and "C# developer" are the same.
SHORT = 4


class Texts:
    """Texts of which no copy is wanted: equal ones, ignoring spelling, or those with `run` words in a row (0: none).

    Texts are compared as `comparable` leaves them; those of `SHORT` or more words by their words, ignoring punctuation.
    """

    def __init__(self, texts: Iterable[str] = (), run: int = 0):
        self._run = run
        self._whole: set[int] = set()
        self._runs: set[int] = set()
        for text in texts:
            self.add(text)

    def __len__(self) -> int:
        return len(self._whole)

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and hash(_form(text)) in self._whole

    def add(self, text: str, *, runs: bool = True) -> None:
        """Adds a text; without `runs`, only an equal text is a copy of it."""
        self._whole.add(hash(_form(text)))
        if self._run and runs:
            self._runs.update(_runs(words(text), self._run))

    def copied(self, text: str) -> str:
        """Returns what makes a text a copy, for people; empty where it is not one."""
        if text in self:
            return "equal to one"
        if self._run and not self._runs.isdisjoint(_runs(words(text), self._run)):
            return f"{self._run} words in a row"
        return ""


def overlap(one: str, other: str) -> float:
    """Returns twice the number of common words over the words of both, with repeats; 0 where one is `SHORT`.

    >>> overlap("care for old patients", "Care for young patients!")
    0.75
    """
    a, b = Counter(words(one)), Counter(words(other))
    if a.total() < SHORT or b.total() < SHORT:
        return 0.0
    return 2 * (a & b).total() / (a.total() + b.total())


def _form(text: str) -> str:
    text = comparable(text)
    found = words(text)
    return " ".join(found) if len(found) >= SHORT else text


def _runs(found: list[str], length: int) -> Iterator[int]:
    return (hash(tuple(found[k : k + length])) for k in range(len(found) - length + 1))


def copied_from(text: str, others: Sequence[str], max_overlap: float, run: int = 0) -> str:
    """Returns what makes a text a copy of one of a few others, for people; empty where it is not one."""
    if copied := Texts(others, run).copied(text):
        return copied
    share = max((overlap(text, other) for other in others), default=0.0)
    return f"{share:.2f} of its words" if share >= max_overlap else ""


def read_evaluation_texts(
    folders: Sequence[str], *, run: int, cache_dir: Path, language: str = "en"
) -> tuple[Texts, dict[str, Any]]:
    """Reads the queries of every task of the catalogue, in every split found in the folders; offline.

    Reports which splits were found: new texts are not compared with the others.

    Returns:
      The queries; their count, and the names of the splits found and missing.

    Raises:
      UserError: a folder does not exist, or data in it is damaged.
    """
    texts, found, missing = Texts(run=run), [], []
    sources = TaskSources(data_folders(folders, "--config.data"), cache_dir, language=language, offline=True)
    for spec, split in ((each, split) for each in EVERY.values() for split in each.splits if folders):
        try:
            task = spec.load(sources, split)
        except TaskDataMissing:
            # The sets of MELO and MELS are too many to list.
            missing += [f"{spec.name} ({split})"] if spec.name in CATALOGUE else []
            continue
        found.append(f"{spec.name} ({split})")
        for query in task.queries:
            texts.add(query, runs=task.query_kind == "vacancy")  # a sentence may well contain the name of a job
    if folders:
        LOG.info(
            f"Guarding {len(texts):,} queries of evaluation tasks: {', '.join(found) or 'none'}. Not in "
            f"{sources.listed}: {', '.join(missing) or 'none'}."
        )
    else:
        LOG.info(
            "No folder with the data of evaluation tasks is named in data, so new texts are not compared with theirs."
        )
    return texts, {"count": len(texts), "found": found, "missing": missing}
