"""O*NET, the United States' database of occupations, as ranking tasks beside WorkBench."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from uwe_jax.evaluation.tasks.declare import TaskContent, declare
from uwe_jax.evaluation.tasks.spec import TaskDataMissing, TaskSources
from uwe_jax.sources.notes import counted
from uwe_jax.sources.onet import tables
from uwe_jax.sources.onet.release import WHERE, OnetFileMissing, OnetRelease, newest, releases_in
from uwe_jax.sources.onet.tables import Table


def read_title_to_occupation(sources: TaskSources, split: str) -> TaskContent:
    """Alternate titles and the occupations that carry them, among all occupations.

    A title that equals the title of an occupation but for case is left out: to find it takes no model.
    """
    release = find_onet(sources)
    occupations = _texts(release, tables.OCCUPATIONS)
    rows = [(title, code) for code, title in _rows(release, tables.ALTERNATE_TITLES)]
    own = {title.casefold() for title in occupations.values()}
    asked = [row for row in rows if row[0].casefold() not in own]
    notes = counted(len(rows) - len(asked), "alternate titles that equal the title of an occupation left out")
    return _content(release, asked, occupations, tables.ALTERNATE_TITLES, notes)


def read_occupation_to_activity(sources: TaskSources, split: str) -> TaskContent:
    """Occupations and the detailed work activities that their tasks consist of, among all activities."""
    release = find_onet(sources)
    occupations = _texts(release, tables.OCCUPATIONS)
    rows = [(code, activity) for code, _, activity in _rows(release, tables.TASK_ACTIVITIES)]
    return _content(release, rows, _texts(release, tables.DETAILED), tables.TASK_ACTIVITIES, queries=occupations)


def read_occupation_to_technology(sources: TaskSources, split: str) -> TaskContent:
    """Occupations and the software and equipment that they use, by product name, among all products."""
    release = find_onet(sources)
    occupations = _texts(release, tables.OCCUPATIONS)
    rows = [(code, product) for code, product in _rows(release, tables.TECHNOLOGIES)]
    products = {product: product for _, product in rows}
    return _content(release, rows, products, tables.TECHNOLOGIES, queries=occupations)


def read_task_to_activity(sources: TaskSources, split: str) -> TaskContent:
    """Task statements of all occupations and the detailed work activity of each, among all activities."""
    release = find_onet(sources)
    statements = _texts(release, tables.STATEMENTS)
    rows = [(task, activity) for _, task, activity in _rows(release, tables.TASK_ACTIVITIES)]
    return _content(release, rows, _texts(release, tables.DETAILED), tables.TASK_ACTIVITIES, queries=statements)


def find_onet(sources: TaskSources) -> OnetRelease:
    """The newest version in the first folder that holds one.

    Raises:
      TaskDataMissing: in no folder.
      UserError: a damaged zip.
    """
    for folder in sources.folders:
        if releases := releases_in(folder):
            return newest(releases)
    raise TaskDataMissing(
        f"No O*NET database, a zip or folder with {tables.OCCUPATIONS.files[0]!r}, in {sources.listed}. Get it from "
        f"{WHERE}"
    )


def _content(
    release: OnetRelease,
    rows: Iterable[tuple[str, str]],
    targets: Mapping[str, str],
    table: Table,
    notes: Iterable[str] = (),
    *,
    queries: Mapping[str, str] | None = None,
) -> TaskContent:
    """What the rows of one table relate.

    Args:
      rows: a query and a target each.
      targets: text by what stands in the rows.
      table: of the rows, for messages.
      queries: text by what stands in the rows; None where that is the text.
    """
    labels: dict[str, list[str]] = {} if queries is None else {key: [] for key in queries}
    kept, left_out = release.known_rows(table, rows, queries, targets)
    for query, target in kept:
        labels.setdefault(query, []).append(targets[target])
    pairs = [(query if queries is None else queries[query], found) for query, found in labels.items()]
    return TaskContent(pairs, list(targets.values()), str(release), [*notes, *left_out])


def _rows(release: OnetRelease, table: Table) -> list[list[str]]:
    try:
        return release.rows(table)
    except OnetFileMissing as error:
        raise TaskDataMissing(str(error)) from None


def _texts(release: OnetRelease, table: Table) -> dict[str, str]:
    try:
        return release.texts(table)
    except OnetFileMissing as error:
        raise TaskDataMissing(str(error)) from None


SPECS = tuple(
    declare(name, title, "", kinds, ("all",), read, WHERE)
    for name, title, kinds, read in (
        ("onet_title_to_occupation", "O*NET title to occupation", ("job", "job"), read_title_to_occupation),
        ("onet_occupation_to_activity", "O*NET occupation to activity", ("job", "skill"), read_occupation_to_activity),
        (
            "onet_occupation_to_technology",
            "O*NET occupation to technology",
            ("job", "skill"),
            read_occupation_to_technology,
        ),
        ("onet_task_to_activity", "O*NET task to activity", ("vacancy", "skill"), read_task_to_activity),
    )
)
