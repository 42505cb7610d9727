"""Turns the tables of an O*NET release into edges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from uwe_jax.data.graph import Edge
from uwe_jax.sources.notes import counted
from uwe_jax.sources.onet import tables
from uwe_jax.sources.onet.release import OnetRelease
from uwe_jax.sources.onet.tables import Table

# What was read, and a phrase per reason why rows gave no edge, with their number.
Found = tuple[list[Edge], list[str]]


@dataclass(frozen=True)
class OnetGraph:
    """A graph that O*NET offers.

    Attributes:
      kind: of its right side.
      read: reads it from a release. Raises what `OnetRelease.rows` and `OnetRelease.known_rows` do.
      needs: tables without which there is no such graph.
      takes: tables that add to it where a release has them.
    """

    kind: str
    read: Callable[[OnetRelease], Found]
    needs: tuple[Table, ...]
    takes: tuple[Table, ...] = ()


def read_activity_jobs(release: OnetRelease) -> Found:
    """Detailed work activities, and the occupations whose tasks consist of them."""
    occupations, activities = release.texts(tables.OCCUPATIONS), release.texts(tables.DETAILED)
    pairs = [(code, activity) for code, _, activity in release.rows(tables.TASK_ACTIVITIES)]
    kept, notes = release.known_rows(tables.TASK_ACTIVITIES, pairs, occupations, activities)
    edges = [Edge(dwa, activities[dwa], code, occupations[code], "activity") for code, dwa in kept]
    return list(dict.fromkeys(edges)), notes  # the tasks of an occupation share activities


def read_activity_tasks(release: OnetRelease) -> Found:
    """Detailed work activities, and the task statements that are about them: sentences as vacancies have them."""
    statements, activities = release.texts(tables.STATEMENTS), release.texts(tables.DETAILED)
    pairs = [(task, activity) for _, task, activity in release.rows(tables.TASK_ACTIVITIES)]
    kept, notes = release.known_rows(tables.TASK_ACTIVITIES, pairs, statements, activities)
    return [Edge(dwa, activities[dwa], task, statements[task], "task") for task, dwa in kept], notes


def read_activity_aliases(release: OnetRelease) -> Found:
    """Work activities, and the wider activity that each belongs to.

    A step of the hierarchy at a time: a detailed activity has its intermediate one, an intermediate one its general
    one. The general ones are 41, too wide to stand for a detailed activity.
    """
    detailed, intermediate = release.rows(tables.DETAILED), release.rows(tables.INTERMEDIATE)
    titles = {code: title for code, title, _ in intermediate}
    kept, notes = release.known_rows(tables.DETAILED, detailed, None, None, titles)
    edges = [Edge(code, title, above, titles[above], "intermediate") for code, title, above in kept]
    if release.file_of(tables.GENERAL):
        general = release.texts(tables.GENERAL)
        kept, more = release.known_rows(tables.INTERMEDIATE, intermediate, None, None, general)
        edges += [Edge(code, title, above, general[above], "general") for code, title, above in kept]
        notes += more
    else:
        notes.append(f"no {tables.GENERAL.files[0]}, so intermediate work activities have no general one")
    distinct = [edge for edge in edges if edge.left_text.casefold() != edge.right_text.casefold()]
    same = counted(len(edges) - len(distinct), "work activities that are called as the one above them left out")
    return distinct, [*notes, *same]


def read_titles(release: OnetRelease) -> Found:
    """Occupations, and the further titles that each is known by or that its workers report.

    A title is kept as it stands, as in CEO (Chief Executive Officer): both forms are what people write, and the short
    one alone is often the title of several occupations. A title that differs from its occupation's in case alone is no
    further one. What is both an alternate and a reported title is reported.
    """
    occupations = release.texts(tables.OCCUPATIONS)
    own = {(code, title.casefold()) for code, title in occupations.items()}
    titles: dict[tuple[str, str], Edge] = {}
    notes: list[str] = []
    equal = 0
    for table, relation in ((tables.REPORTED_TITLES, "reported"), (tables.ALTERNATE_TITLES, "alternate")):
        if not release.file_of(table) and table is tables.REPORTED_TITLES:
            notes.append(f"no {table.files[0]}, so alternate titles alone")
            continue
        kept, more = release.known_rows(table, release.rows(table), occupations, None)
        notes += more
        for code, title in kept:
            key = (code, title.casefold())
            if key in own:
                equal += 1
            else:
                titles.setdefault(key, Edge(code, occupations[code], "", title, relation))
    return list(titles.values()), [*notes, *counted(equal, "titles that equal that of their occupation left out")]


def read_descriptions(release: OnetRelease) -> Found:
    """Occupations, in the place of a skill, and what the database says of each: a sentence or a few."""
    return [Edge(code, title, "", text, "description") for code, title, text in release.rows(tables.DESCRIPTIONS)], []


def _products(table: Table, relation: str) -> Callable[[OnetRelease], Found]:
    """A reader of the products that a table names, and the occupations that use them. A product has no id."""

    def read(release: OnetRelease) -> Found:
        occupations = release.texts(tables.OCCUPATIONS)
        kept, notes = release.known_rows(table, release.rows(table), occupations, None)
        return [Edge("", product, code, occupations[code], relation) for code, product in kept], notes

    return read


_ACTIVITIES = (tables.TASK_ACTIVITIES, tables.DETAILED)
GRAPHS = {
    "activity_job": OnetGraph("job", read_activity_jobs, (tables.OCCUPATIONS, *_ACTIVITIES)),
    "technology_job": OnetGraph(
        "job", _products(tables.TECHNOLOGIES, "technology"), (tables.OCCUPATIONS, tables.TECHNOLOGIES)
    ),
    "tool_job": OnetGraph("job", _products(tables.TOOLS, "tool"), (tables.OCCUPATIONS, tables.TOOLS)),
    "job_title": OnetGraph(
        "title", read_titles, (tables.OCCUPATIONS, tables.ALTERNATE_TITLES), (tables.REPORTED_TITLES,)
    ),
    "job_alias": OnetGraph(
        "alias", read_titles, (tables.OCCUPATIONS, tables.ALTERNATE_TITLES), (tables.REPORTED_TITLES,)
    ),
    "job_description": OnetGraph("vacancy", read_descriptions, (tables.DESCRIPTIONS,)),
    "activity_task": OnetGraph("vacancy", read_activity_tasks, (tables.STATEMENTS, *_ACTIVITIES)),
    "activity_alias": OnetGraph(
        "alias", read_activity_aliases, (tables.DETAILED, tables.INTERMEDIATE), (tables.GENERAL,)
    ),
}
# Read where none is named: the others have a job in the place of a skill.
USUAL = tuple(name for name in GRAPHS if name not in ("job_alias", "job_description"))
