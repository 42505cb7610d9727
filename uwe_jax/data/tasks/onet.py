"""O*NET, the United States' database of occupations, as ranking tasks beside WorkBench: no model is trained on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from uwe_jax.base.errors import UserError
from uwe_jax.data.notes import counted
from uwe_jax.data.tasks.declare import TaskContent, declare
from uwe_jax.data.tasks.onet_release import OCCUPATIONS, WHERE, OnetRelease, find_onet
from uwe_jax.data.tasks.spec import TaskSources
from uwe_jax.data.text import normalise

CODE = "O*NET-SOC Code"

# A release may name a few things that it does not describe. More than this share of a table's rows means that its
# files do not belong together.
_MAX_UNKNOWN = 0.1


def read_title_to_occupation(sources: TaskSources, split: str) -> TaskContent:
    """Alternate titles and the occupations that carry them, among all occupations.

    A title that equals the title of an occupation but for case is left out: to find it takes no model.
    """
    release = find_onet(sources)
    occupations = _texts(release, OCCUPATIONS, CODE, "Title")
    rows = release.table("Alternate Titles.txt", "Alternate Title", CODE)
    own = {normalise(title).casefold() for title in occupations.values()}
    asked = [row for row in rows if normalise(row[0]).casefold() not in own]
    notes = counted(len(rows) - len(asked), "alternate titles that equal the title of an occupation left out")
    return _content(release, asked, occupations, "Alternate Titles.txt", notes)


def read_occupation_to_activity(sources: TaskSources, split: str) -> TaskContent:
    """Occupations and the detailed work activities that their tasks consist of, among all activities."""
    release = find_onet(sources)
    occupations = _texts(release, OCCUPATIONS, CODE, "Title")
    rows = release.table("Tasks to DWAs.txt", CODE, "DWA ID")
    return _content(release, rows, _activities(release), "Tasks to DWAs.txt", queries=occupations)


def read_occupation_to_technology(sources: TaskSources, split: str) -> TaskContent:
    """Occupations and the software and equipment that they use, by product name, among all products."""
    release = find_onet(sources)
    occupations = _texts(release, OCCUPATIONS, CODE, "Title")
    rows = release.table("Technology Skills.txt", CODE, "Example")
    products = {product: product for _, product in rows}
    return _content(release, rows, products, "Technology Skills.txt", queries=occupations)


def read_task_to_activity(sources: TaskSources, split: str) -> TaskContent:
    """Task statements of all occupations and the detailed work activity of each, among all activities."""
    release = find_onet(sources)
    statements = _texts(release, "Task Statements.txt", "Task ID", "Task")
    rows = release.table("Tasks to DWAs.txt", "Task ID", "DWA ID")
    return _content(release, rows, _activities(release), "Tasks to DWAs.txt", queries=statements)


def _content(
    release: OnetRelease,
    rows: Iterable[list[str]],
    targets: Mapping[str, str],
    file: str,
    notes: Iterable[str] = (),
    *,
    queries: Mapping[str, str] | None = None,
) -> TaskContent:
    """What the rows of one file relate.

    Args:
      rows: a query and a target each.
      targets: text by what stands in the rows.
      file: of the rows, for messages.
      queries: text by what stands in the rows; None where that is the text.
    """
    labels: dict[str, list[str]] = {} if queries is None else {key: [] for key in queries}
    total = unknown = 0
    for query, target in rows:
        total += 1
        if target not in targets or (queries is not None and query not in queries):
            unknown += 1
        else:
            labels.setdefault(query, []).append(targets[target])
    if unknown > _MAX_UNKNOWN * total:
        raise UserError(
            f"{unknown:,} of {total:,} rows of {file} in {release.path} name what its other files do not hold: they "
            f"are not of one release. Expected the files of one version: download them again from {WHERE}"
        )
    pairs = [(query if queries is None else queries[query], found) for query, found in labels.items()]
    left_out = counted(unknown, f"of {total:,} rows of {file} that name what the release does not hold left out")
    return TaskContent(pairs, list(targets.values()), str(release), [*notes, *left_out])


def _texts(release: OnetRelease, name: str, key: str, text: str) -> dict[str, str]:
    return dict(release.table(name, key, text))


def _activities(release: OnetRelease) -> dict[str, str]:
    return _texts(release, "DWA Reference.txt", "DWA ID", "DWA Title")


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
