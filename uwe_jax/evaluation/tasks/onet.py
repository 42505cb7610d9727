"""O*NET, the occupational database of the United States, as ranking tasks outside WorkBench."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from uwe_jax.evaluation.tasks.spec import TaskContent, TaskDataMissing, TaskSources, declare
from uwe_jax.sources.notes import counted
from uwe_jax.sources.onet import tables
from uwe_jax.sources.onet.release import WHERE, OnetFileMissing, OnetRelease, newest, releases_in
from uwe_jax.sources.onet.tables import Table


def title_to_occupation(release: OnetRelease) -> TaskContent:
    """Reads alternate titles and the occupations that carry them, among all occupations.

    A title that equals an occupation's title but for case is left out: finding it takes no model.
    """
    occupations = release.texts(tables.OCCUPATIONS)
    rows = [(title, code) for code, title in release.rows(tables.ALTERNATE_TITLES)]
    own = {title.casefold() for title in occupations.values()}
    asked = [row for row in rows if row[0].casefold() not in own]
    notes = counted(len(rows) - len(asked), "alternate titles that equal the title of an occupation left out")
    return _content(release, asked, occupations, tables.ALTERNATE_TITLES, notes=notes)


def occupation_to_activity(release: OnetRelease) -> TaskContent:
    """Reads occupations and the detailed work activities that their tasks consist of, among all activities."""
    rows = [(code, activity) for code, _, activity in release.rows(tables.TASK_ACTIVITIES)]
    activities = release.texts(tables.DETAILED)
    return _content(release, rows, activities, tables.TASK_ACTIVITIES, release.texts(tables.OCCUPATIONS))


def occupation_to_technology(release: OnetRelease) -> TaskContent:
    """Reads occupations and the software and equipment that they use, by product name, among all products."""
    rows = [(code, product) for code, product in release.rows(tables.TECHNOLOGIES)]
    products = {product: product for _, product in rows}
    return _content(release, rows, products, tables.TECHNOLOGIES, release.texts(tables.OCCUPATIONS))


def task_to_activity(release: OnetRelease) -> TaskContent:
    """Reads task statements of all occupations and the detailed work activity of each, among all activities."""
    rows = [(task, activity) for _, task, activity in release.rows(tables.TASK_ACTIVITIES)]
    activities = release.texts(tables.DETAILED)
    return _content(release, rows, activities, tables.TASK_ACTIVITIES, release.texts(tables.STATEMENTS))


def _content(
    release: OnetRelease,
    rows: Iterable[tuple[str, str]],
    targets: Mapping[str, str],
    table: Table,
    queries: Mapping[str, str] | None = None,
    notes: Iterable[str] = (),
) -> TaskContent:
    """Returns the queries and targets that the rows of a table relate.

    Args:
      rows: a query and a target each, by their keys in `queries` and `targets`.
      queries: None where the rows hold the text itself.
    """
    labels: dict[str, list[str]] = {} if queries is None else {key: [] for key in queries}
    kept, left_out = release.known_rows(table, rows, queries, targets)
    for query, target in kept:
        labels.setdefault(query, []).append(targets[target])
    pairs = [(query if queries is None else queries[query], found) for query, found in labels.items()]
    return TaskContent(pairs, list(targets.values()), str(release), [*notes, *left_out])


def _read(read: Callable[[OnetRelease], TaskContent], sources: TaskSources, split: str) -> TaskContent:
    """Reads a task from the newest release of the first folder that holds one."""
    releases = next((found for folder in sources.folders if (found := releases_in(folder))), None)
    if releases is None:
        raise TaskDataMissing(
            f"No O*NET database, a zip or folder with {tables.OCCUPATIONS.files[0]!r}, in {sources.listed}. Get it "
            f"from {WHERE}"
        )
    try:
        return read(newest(releases))
    except OnetFileMissing as error:
        raise TaskDataMissing(str(error)) from None


SPECS = tuple(
    declare(
        f"onet_{read.__name__}",
        f"O*NET {read.__name__.replace('_', ' ')}",
        "",
        kinds,
        ("all",),
        partial(_read, read),
        WHERE,
    )
    for read, kinds in (
        (title_to_occupation, ("job", "job")),
        (occupation_to_activity, ("job", "skill")),
        (occupation_to_technology, ("job", "skill")),
        (task_to_activity, ("vacancy", "skill")),
    )
)
