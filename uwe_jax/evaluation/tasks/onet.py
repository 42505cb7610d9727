"""O*NET, the occupational database of the United States, as ranking tasks outside WorkBench."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from uwe_jax.evaluation.tasks.task import TaskContent, TaskDataMissing, TaskSources, TaskSpec
from uwe_jax.sources.notes import noted
from uwe_jax.sources.onet import tables
from uwe_jax.sources.onet.release import WHERE, OnetFileMissing, OnetRelease, newest, releases_in
from uwe_jax.sources.onet.tables import Table


class _Relation(NamedTuple):
    """A table that relates queries and targets.

    Attributes:
      query, target: columns of the table, by position.
      queries, targets: tables of the texts by code, all of which are queries or targets; None where the column holds
        the text itself.
      names: table of further names of targets by code.
    """

    kinds: tuple[str, str]
    table: Table
    query: int
    target: int
    queries: Table | None
    targets: Table | None
    names: Table | None = None


_RELATIONS = {
    # Alternate titles and the occupations that carry them.
    "title_to_occupation": _Relation(
        ("job", "job"), tables.ALTERNATE_TITLES, 1, 0, None, tables.OCCUPATIONS, tables.ALTERNATE_TITLES
    ),
    # Occupations and the detailed work activities that their tasks consist of.
    "occupation_to_activity": _Relation(
        ("job", "skill"), tables.TASK_ACTIVITIES, 0, 2, tables.OCCUPATIONS, tables.DETAILED
    ),
    # Occupations and the software and equipment that they use, by product name.
    "occupation_to_technology": _Relation(("job", "skill"), tables.TECHNOLOGIES, 0, 1, tables.OCCUPATIONS, None),
    # Task statements of all occupations and the detailed work activity of each.
    "task_to_activity": _Relation(
        ("vacancy", "skill"), tables.TASK_ACTIVITIES, 1, 2, tables.STATEMENTS, tables.DETAILED
    ),
}


def _read(relation: _Relation, sources: TaskSources, split: str) -> TaskContent:
    """Reads a task from the newest release of the first folder that holds one."""
    releases = next((found for folder in sources.folders if (found := releases_in(folder))), None)
    if releases is None:
        raise TaskDataMissing(
            f"No O*NET database, a zip or folder with {tables.OCCUPATIONS.files[0]!r}, in {sources.listed}. Get it "
            f"from {WHERE}"
        )
    try:
        return _content(newest(releases), relation, sources)
    except OnetFileMissing as error:
        raise TaskDataMissing(str(error)) from None


def _content(release: OnetRelease, relation: _Relation, sources: TaskSources) -> TaskContent:
    rows = [(row[relation.query], row[relation.target]) for row in release.rows(relation.table)]
    targets = release.texts(relation.targets) if relation.targets else {text: text for _, text in rows}
    notes = []
    if relation.queries:
        queries = release.texts(relation.queries)
    else:
        # A title that equals an occupation's title but for case is left out: finding it takes no model.
        own = {title.casefold() for title in targets.values()}
        asked = [row for row in rows if row[0].casefold() not in own]
        notes = noted(len(rows) - len(asked), "alternate title", "equal to the title of an occupation left out")
        rows, queries = asked, {text: text for text, _ in asked}
    kept, left_out = release.known_rows(relation.table, rows, queries, targets)
    labels: dict[str, list[str]] = {key: [] for key in queries}
    for query, target in kept:
        labels[query].append(targets[target])
    pairs = [(queries[query], found) for query, found in labels.items()]
    named = release.rows(relation.names) if relation.names and sources.names else []
    names = [(targets[code], [title]) for code, title in named if code in targets]
    are_names = relation.names is relation.table
    all_notes = [*notes, *left_out]
    about = release.rows(tables.DESCRIPTIONS) if relation.targets is tables.OCCUPATIONS and sources.descriptions else []
    return TaskContent(
        *(pairs, targets.values(), str(release), all_notes),
        names=names,
        queries_are_names=are_names,
        descriptions=[(title, [text]) for _, title, text in about],
    )


SPECS = tuple(
    TaskSpec(
        f"onet_{name}",
        f"O*NET {name.replace('_', ' ')}",
        "",
        relation.kinds,
        ("all",),
        partial(_read, relation),
        WHERE,
        ("en", "en"),
    )
    for name, relation in _RELATIONS.items()
)
