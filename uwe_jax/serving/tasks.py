"""Tasks for the model, and the served model, which is loaded once and answers several of them at once."""

from __future__ import annotations

import logging
import pickle
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any, ClassVar

from uwe_jax.retrieval.calibration import calibration_of, note_calibration
from uwe_jax.retrieval.hits import Hits
from uwe_jax.retrieval.settings import RankSettings
from uwe_jax.retrieval.skill_filter import SkillFilter, chosen_filter, filter_in
from uwe_jax.retrieval.store.columns import FilterError
from uwe_jax.retrieval.store.searchable import Searchable
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import cache_folder
from uwe_jax.serving.options import ServiceOptions
from uwe_jax.serving.refusals import Refusal

LOG = logging.getLogger(__name__)
# Numbers of hits that an index is asked for: each is a compiled program, and a hundred take no longer than ten.
_TOP_K = (100, 1000, 10_000)


@dataclass(frozen=True)
class RankTask:
    """The `top_k` best targets of an index for every text, among those that `where` allows (values by column).

    `least` are the score and the probability that a hit must reach; None asks for none. Of the `sentences` of a vacancy
    those that are no requirement have no hits, where the service has a filter.
    """

    texts: tuple[str, ...]
    index: str
    top_k: int
    where: tuple[tuple[str, tuple[str, ...]], ...] = ()
    least: tuple[float | None, float | None] = (None, None)
    sentences: bool = False

    @property
    def group(self) -> tuple[Any, ...]:
        """Returns the key of tasks that are answered together: they have the same targets."""
        return self.index, self.where


@dataclass(frozen=True)
class PairTask:
    """The score of every query with every target, or the explanation of the score of the first ones."""

    queries: tuple[str, ...]
    targets: tuple[str, ...]
    explain: bool = False
    index: str = ""  # of the explanation, whose words in common count
    id: str = ""  # of the target that is explained, instead of a text
    group: ClassVar[None] = None  # answered alone

    @property
    def texts(self) -> tuple[str, ...]:
        """Queries, and targets that are texts."""
        return self.queries + self.targets


Task = RankTask | PairTask


class ServedModel:
    """A model (a `uwe_jax.retrieval.ranker.Ranker`, imported only when it is loaded) and indexes by name."""

    def __init__(self, ranker: Any, indexes: Mapping[str, Searchable], skill_filter: SkillFilter | None = None):
        self.ranker, self.skill_filter = ranker, skill_filter
        self.indexes = dict(indexes)
        self.calibrations = {
            name: calibration_of(index, ranker.origin, ranker.how)[0] for name, index in self.indexes.items()
        }

    def warm_up(self, batch: int) -> None:
        """Compiles the programs for short queries, alone and up to `batch` at once."""
        for index in self.indexes.values():
            self.ranker.warm_up(index, shared_top_k(1))
            number = 2
            while number <= batch:
                queries = [f"work {each}" for each in range(number)]
                list(self.ranker.rank_each(queries, index, shared_top_k(1), batch=number))
                number *= 2
        if not self.ranker.loaded.sides:  # whose scores have no parts to explain
            self.ranker.explain("work", "work")

    def answer(self, tasks: Sequence[Any]) -> list[tuple[Any, int]]:
        """Answers tasks of one group, in their order.

        Returns:
          For each task, for every query its hits or an error if it cannot be scored, or scores as lists, or an
          explanation as a dict; and how many of its texts have more tokens than the model reads.

        Raises:
          Refusal: 422 if a text to score or to explain cannot be scored, or no target has a column or value.
        """
        found = self._rank(tasks) if isinstance(tasks[0], RankTask) else [self._score(task) for task in tasks]
        truncated = [self.ranker.loaded.truncation(task.texts).truncated for task in tasks]
        return list(zip(found, truncated, strict=True))

    def _score(self, task: PairTask) -> Any:
        try:
            if task.explain:
                target = {"id": task.id} if task.id else {"target": task.targets[0]}
                return self.ranker.explain(task.queries[0], **target, space=self.indexes.get(task.index)).to_dict()
            return self.ranker.scores(task.queries, task.targets).tolist()
        except UserError as error:
            raise Refusal(422, str(error)) from error

    def _rank(self, tasks: Sequence[RankTask]) -> list[list[Hits | UserError]]:
        top_k = shared_top_k(max(task.top_k for task in tasks))
        queries = [query for task in tasks for query in task.texts]
        try:
            index, where = self.indexes[tasks[0].index], dict(tasks[0].where)
            found = iter(list(self.ranker.rank_each(queries, index, top_k, batch=len(queries), where=where)))
        except FilterError as error:
            raise Refusal(422, str(error)) from error
        return [self._kept(task, list(islice(found, len(task.texts)))) for task in tasks]

    def _kept(self, task: RankTask, found: Sequence[Hits | UserError]) -> list[Hits | UserError]:
        fine = [text for text, each in zip(task.texts, found, strict=True) if isinstance(each, Hits)]
        judged = self.skill_filter if task.sentences else None
        no_skill = judged.refused(self.ranker, fine) if judged else {}
        kept: list[Hits | UserError] = []
        for text, each in zip(task.texts, found, strict=True):
            if isinstance(each, UserError):
                kept.append(each)
            else:
                why = no_skill.get(text)
                kept.append(each.without(why) if why else each[: task.top_k].reaching(*task.least))
        return kept


def shared_top_k(top_k: int) -> int:
    """Rounds a number of hits up to one for which a program is shared.

    >>> shared_top_k(3), shared_top_k(100), shared_top_k(101)
    (100, 100, 1000)
    """
    return next((each for each in _TOP_K if each >= top_k), top_k)


def load_served(options: ServiceOptions) -> ServedModel:
    """Loads and warms up the model and its indexes.

    Raises:
      UserError: one of them is missing, cannot be read or does not match the others.
    """
    # Imported here: they import jax, and the service reports that it is alive meanwhile.
    from uwe_jax.retrieval.limits import note_scorer
    from uwe_jax.retrieval.loading import load
    from uwe_jax.retrieval.location import open_index, recorded_model

    start = time.monotonic()
    given = filter_in(options.skill_filter)
    indexes = {name: _in_memory(open_index(where)) for name, where in options.indexes.items()}
    longest = max(index.origin.max_tokens for index in indexes.values())
    model = options.model or recorded_model([*options.indexes.values()][:1])
    how = asdict(RankSettings.of(options))
    ranker = load(model, cache_dir=cache_folder(options.cache_dir), max_tokens=longest, **how)
    LOG.info("Model %s: %s", ranker.name, ranker.loaded.description)
    for name, where in options.indexes.items():
        if not len(indexes[name]):
            raise UserError(f"The index {name} ({where}) is empty. Add targets to it, or leave it out.")
        ranker.check(indexes[name], place=where)
        if not options.model:
            note_scorer(ranker.origin, indexes[name].origin, where)
        LOG.info("Index %s: %s targets of %s", name, f"{len(indexes[name]):,}", where)
        note_calibration(indexes[name], ranker.origin, ranker.how, name)
    served = ServedModel(ranker, indexes, chosen_filter(given, options.skill_filter, ranker))
    served.warm_up(options.limits.max_batch)
    LOG.info("Ready after %.1f s", time.monotonic() - start)
    return served


def _in_memory(index: Any) -> Any:
    """Copies texts, ids and columns of a memory-mapped index; its embeddings are on the devices after a first search.

    Reading from a mapped file that was truncated since, for example by a copy over it, kills the process (SIGBUS).
    """
    from uwe_jax.retrieval.store.segment import Part
    from uwe_jax.retrieval.store.stored_targets import Index

    if not isinstance(index, Index):
        return index
    parts = []
    for part in index.parts:
        old = part.segment
        texts, ids, columns = pickle.loads(pickle.dumps((old.texts, old.ids, old.columns)))
        parts.append(Part(replace(old, texts=texts, ids=ids, columns=columns), part.kept))
    return Index(index.origin, index.dtype, index.width, index.pooled, parts, index.calibration)
