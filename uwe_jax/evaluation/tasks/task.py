"""Ranking tasks, their declarations by name, and the places that are searched for their data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from uwe_jax.data.graph import edge_matrix
from uwe_jax.data.text import normalise
from uwe_jax.evaluation.tasks.grades import grade_matrix, notes_on_grades
from uwe_jax.evaluation.tasks.languages import UNKNOWN, Pair
from uwe_jax.evaluation.tasks.names import TargetNames
from uwe_jax.retrieval.store.names import Name, distinct_names
from uwe_jax.runtime.errors import UserError
from uwe_jax.scoring.statistics import fixed_sample
from uwe_jax.sources.notes import noted, noted_of

# The six tasks of WorkBench, in the paper's order. The headline is the mean over them; a task of several sets counts
# as the mean of its sets.
GROUPS = (
    "job_to_skill",
    "skill_to_job",
    "job_normalisation",
    "skill_normalisation",
    "skill_extraction",
    "skill_similarity",
)


@dataclass(frozen=True, eq=False)
class RankingTask:
    """Queries to be answered by ranking all targets. `TaskSpec.load` creates one.

    Attributes:
      name: identifies the task, such as job_to_skill or skill_extraction_tech.
      title: shown in tables.
      group: of `GROUPS`, the headline it counts for; empty for a task outside WorkBench.
      split: test, validation, or all where the task is not split.
      query_kind, target_kind: node kinds of queries and targets, of `NODE_KINDS`.
      queries: q texts, each with a relevant target; equal texts may occur twice.
      targets: n distinct texts in code point order.
      relevant: [q, n]: bool or, where relevance is graded, uint8 of the grades, from 1.
      query_ids: of the queries, as in files of qrels and runs: the data's own, else q1, q2 and so on.
      target_ids: position of a target by its id, the data's own or t1, t2 and so on; joined targets have several.
      threshold: the least grade that binary metrics count as relevant.
      origin: of the data, such as ESCO v1.1.1 (en).
      notes: a phrase with a number for everything that was left out or joined.
      names: further names of targets, distinct, by the target's text; targets without any are missing.
      descriptions: of targets, likewise.
      queries_are_names: the queries are further names of their targets: a name that equals the query, whatever its
        case, does not count for this query.
      family, languages: name of the task in all its languages, empty is `name`; those of queries and targets.
    """

    name: str
    title: str
    group: str
    split: str
    query_kind: str
    target_kind: str
    queries: tuple[str, ...]
    targets: tuple[str, ...]
    relevant: csr_array
    query_ids: tuple[str, ...]
    target_ids: Mapping[str, int]
    origin: str
    notes: tuple[str, ...] = ()
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    queries_are_names: bool = False
    threshold: int = 1
    family: str = ""
    languages: Pair = UNKNOWN
    descriptions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def grades(self) -> np.ndarray | None:
        """Grades of the relevant pairs, uint8 [e] in the order of `relevant`; None where relevance is binary."""
        return None if self.relevant.dtype == bool else self.relevant.data

    @cached_property
    def corpus_ids(self) -> tuple[str, ...]:
        """The id of each target, the first one of joined targets."""
        first = {place: number for number, place in reversed([*self.target_ids.items()])}
        return tuple(first[place] for place in range(len(self.targets)))

    @property
    def several(self) -> bool:
        """Tells whether targets have more texts than their labels."""
        return bool(self.names or self.descriptions)

    @cached_property
    def target_names(self) -> TargetNames:
        """All names of all targets, their labels included, and their descriptions."""
        names = [(target, *self.names.get(target, ())) for target in self.targets]
        return TargetNames.of(names, [self.descriptions.get(target, ()) for target in self.targets])

    def select(self, keep: np.ndarray, note: str) -> RankingTask:
        """Returns the task with the queries at positions `keep`, int [k], and a further note."""
        queries, ids = (tuple(each[k] for k in keep) for each in (self.queries, self.query_ids))
        relevant, notes = self.relevant[keep], (*self.notes, note)
        return dataclasses.replace(self, queries=queries, query_ids=ids, relevant=relevant, notes=notes)

    def sample(self, most: int) -> RankingTask:
        """Draws at most so many queries at random, the same ones every time; 0 keeps all."""
        drawn = fixed_sample(len(self.queries), most)
        if len(drawn) == len(self.queries):
            return self
        return self.select(drawn, *noted_of(most, len(self.queries), "query", "drawn at random"))


class TaskDataMissing(UserError):
    """A task's data was not found. The message is one line: what was searched for, and where to get it."""


@dataclass(frozen=True)
class TaskSources:
    """Places that are searched for the data of tasks.

    Attributes:
      folders: the user's, searched first and in this order.
      cache_dir: its subfolder tfds holds the datasets prepared from the hub.
      esco_version: such as 1.1.1; empty takes the newest complete one.
      language: of the labels, as in skills_en.csv; query_language: of the queries, empty for `language`.
      offline: never access the hub.
      names, descriptions: read the further names, and the descriptions, of targets as well.
      flags: of the running command for language and version of ESCO, for messages.
    """

    folders: tuple[Path, ...]
    cache_dir: Path
    esco_version: str = ""
    language: str = "en"
    offline: bool = False
    names: bool = False
    descriptions: bool = False
    query_language: str = ""
    flags: tuple[str, ...] = ()

    @property
    def asked_in(self) -> str:
        """Language of the queries."""
        return self.query_language or self.language

    @property
    def listed(self) -> str:
        """The folders, for messages."""
        return ", ".join(map(str, self.folders)) or "any folder: none was named"


@dataclass(frozen=True)
class TaskContent:
    """Texts of one split.

    Attributes:
      pairs: every query with its relevant labels.
      targets: the full target space, also those relevant for no query.
      merge_queries: join equal queries and their labels; else every pair is a query of its own.
      names: targets and their further names. Those of equal targets are joined; a name that equals its target or
        another name of it, whatever its case, is dropped.
      descriptions: targets and their descriptions, likewise.
      queries_are_names, threshold: see `RankingTask`.
      grades: of every pair, one per label, from 0 to `grades.MAX_GRADE`; empty where relevance is binary. Labels of
        grade 0 are not relevant. Of a repeated label of a query the first one counts.
      query_ids: of the pairs; empty numbers them.
      target_ids: of the targets; empty numbers them.
    """

    pairs: Iterable[tuple[str, Sequence[str]]]
    targets: Iterable[str]
    origin: str
    notes: Sequence[str] = ()
    merge_queries: bool = True
    names: Iterable[tuple[str, Iterable[str]]] = ()
    queries_are_names: bool = False
    threshold: int = 1
    grades: Sequence[Sequence[int]] = ()
    query_ids: Sequence[str] = ()
    target_ids: Sequence[str] = ()
    descriptions: Iterable[tuple[str, Iterable[str]]] = ()


@dataclass(frozen=True)
class TaskSpec:
    """A task by name. `name`, `title`, `group` and kinds are those of its `RankingTask`.

    Attributes:
      kinds: of queries and targets.
      splits: published ones, such as validation and test, or all where the task is not split.
      read: reads one split.
      where: one line that says where to get the data.
      languages, family: see `pair_of_task`; sets of a family are measured in their own, whichever are asked for.
    """

    name: str
    title: str
    group: str
    kinds: tuple[str, str]
    splits: tuple[str, ...]
    read: Callable[[TaskSources, str], TaskContent]
    where: str
    languages: tuple[str, str] = UNKNOWN
    family: str = ""

    def load(self, sources: TaskSources, split: str) -> RankingTask:
        """Reads one split as a task.

        Equal targets are joined; labels that are not targets and queries without a relevant target are left out.

        Raises:
          TaskDataMissing: the data is absent.
          UserError: it is broken, or leaves nothing to rank.
        """
        return _made(self, split, self.read(sources, split))


def _made(spec: TaskSpec, split: str, content: TaskContent) -> RankingTask:
    """Builds a task from normalised texts, and counts in its notes what is left out."""
    normalised = [normalise(text) for text in content.targets]
    space = sorted(set(normalised) - {""})
    position = {text: place for place, text in enumerate(space)}

    queries: list[str] = []
    query_ids: list[str] = []
    place_of: dict[str, int] = {}
    rows: list[int] = []
    columns: list[int] = []
    grades: list[int] = []
    asked = empty_query = unknown_labels = unanswered = 0
    for text, labels in content.pairs:
        asked += 1
        query = normalise(text)
        # Most labels equal a target as they are; only the others are normalised.
        found = [position.get(label) for label in labels]
        if None in found:
            found = [position.get(normalise(label)) for label in labels]
        known = [place for place in found if place is not None]
        unknown_labels += len(labels) - len(known)
        if not query:
            empty_query += 1
            continue
        if not known:
            unanswered += 1
            continue
        place = place_of.get(query) if content.merge_queries else None
        if place is None:
            place = place_of[query] = len(queries)
            queries.append(query)
            query_ids.append(content.query_ids[asked - 1] if content.query_ids else f"q{len(queries)}")
        rows += [place] * len(known)
        columns += known
        if content.grades:
            grades += [grade for grade, at in zip(content.grades[asked - 1], found, strict=True) if at is not None]
    shape = len(queries), len(space)
    if content.grades:
        relevant, judged = grade_matrix(rows, columns, grades, shape)
        kept = np.flatnonzero(np.diff(relevant.indptr))
        unanswered, relevant = unanswered + len(queries) - len(kept), relevant[kept]
        queries, query_ids = [queries[k] for k in kept], [query_ids[k] for k in kept]
    else:
        relevant, judged = edge_matrix(np.array(rows, int), np.array(columns, int), shape), []
        relevant.sum_duplicates()
    joined = noted(len(normalised) - normalised.count("") - len(space), "equal target", "joined")
    left_out = [
        *joined,
        *noted(normalised.count(""), "empty target", "left out"),
        *noted(unknown_labels, "label", "not among the targets left out"),
        *noted(unanswered, "query", "without a relevant target left out"),
        *noted(empty_query, "empty query", "left out"),
        *noted(asked - empty_query - unanswered - len(queries), "equal query", "joined"),
        *judged,
    ]
    if not queries:
        raise UserError(
            f"{spec.title} has nothing to rank: of {asked:,} queries {unanswered:,} have no relevant target among the "
            f"{len(space):,} targets, {empty_query:,} are empty. Expected at least one query with a relevant target. "
            f"Read from {content.origin}: check that queries, labels and targets belong together."
        )
    if len(space) < 2:
        raise UserError(
            f"{spec.title} has a target space of {len(space)}{f' ({joined[0]})' if joined else ''}: every ranking of "
            f"it is right. Expected at least two different targets in {content.origin}."
        )
    numbers = content.target_ids or [f"t{place}" for place in range(1, len(space) + 1)]
    texts = normalised if content.target_ids else space
    target_ids = {number: position[text] for number, text in zip(numbers, texts, strict=True) if text}
    return RankingTask(
        *(spec.name, spec.title, spec.group, split, *spec.kinds),
        *(tuple(queries), tuple(space), relevant, tuple(query_ids), target_ids, content.origin),
        (*content.notes, *left_out, *notes_on_grades(relevant, content.threshold, spec.title)),
        _further_names(content.names, position),
        content.queries_are_names,
        content.threshold,
        descriptions=_further_names(content.descriptions, position),
    )


def _further_names(names: Iterable[tuple[str, Iterable[str]]], known: Container[str]) -> dict[str, tuple[str, ...]]:
    by_target: dict[str, list[str]] = {}
    for label, texts in names:
        if (target := normalise(label)) in known:
            by_target.setdefault(target, []).extend(filter(None, map(normalise, texts)))
    distinct = {target: distinct_names(target, map(Name, texts)) for target, texts in by_target.items()}
    return {target: tuple(name.text for name in further) for target, further in distinct.items() if further}
