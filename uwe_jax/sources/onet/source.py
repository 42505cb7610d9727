"""O*NET as a source of training graphs: turns the tables of a release into edges."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from uwe_jax.data.graph import Edge
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.notes import noted
from uwe_jax.sources.onet import tables
from uwe_jax.sources.onet.release import WHERE, OnetRelease, find_release
from uwe_jax.sources.onet.tables import Table
from uwe_jax.sources.source import Source, SourceEdges, SourceRequest

# Edges, and a phrase with a number per reason why rows gave no edge.
Found = tuple[list[Edge], list[str]]


class OnetGraph(NamedTuple):
    """A graph that O*NET offers."""

    kind: str  # of its right side
    read: Callable[[OnetRelease], Found]  # raises as `OnetRelease.rows` and `OnetRelease.known_rows` do
    needs: tuple[Table, ...]  # required
    takes: tuple[Table, ...] = ()  # optional


def _relation(
    kind: str, right: Table, table: Table, codes: tuple[int, int], relation: str, left: Table | None = None
) -> OnetGraph:
    """Returns the graph of the rows of a table, with their right and left `codes` at these positions.

    `right` and `left` have the texts of the codes; without `left` its column has texts without ids.
    """

    def read(release: OnetRelease) -> Found:
        rights, lefts = release.texts(right), release.texts(left) if left else None
        pairs = [tuple(row[column] for column in codes) for row in release.rows(table)]
        kept, notes = release.known_rows(table, pairs, rights, lefts)
        if lefts is None:
            return [Edge("", text, code, rights[code], relation) for code, text in kept], notes
        # The tasks of an occupation share activities.
        return [Edge(one, lefts[one], code, rights[code], relation) for code, one in dict.fromkeys(kept)], notes

    return OnetGraph(kind, read, (right, table, left) if left else (right, table))


def read_activity_aliases(release: OnetRelease) -> Found:
    """Reads work activities, and the broader activity one level above: intermediate, or general.

    The 41 general activities are too broad for a detailed one.
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
    same = noted(len(edges) - len(distinct), "work activity", "with the title of the one above left out")
    return distinct, [*notes, *same]


def read_titles(release: OnetRelease) -> Found:
    """Reads occupations, and the alternate titles of each and those that its workers report.

    Titles are kept in full, as in CEO (Chief Executive Officer): both forms are in use, and the short one alone is
    often the title of several occupations. A title that differs from its occupation's in case alone is left out. A
    title that is both alternate and reported is reported.
    """
    occupations = release.texts(tables.OCCUPATIONS)
    own = {(code, title.casefold()) for code, title in occupations.items()}
    titles: dict[tuple[str, str], Edge] = {}
    notes: list[str] = []
    equal = 0
    for table, relation in ((tables.REPORTED_TITLES, "reported"), (tables.ALTERNATE_TITLES, "alternate")):
        if not release.file_of(table) and table is tables.REPORTED_TITLES:
            notes.append(f"no {table.files[0]}, so only alternate titles")
            continue
        kept, more = release.known_rows(table, release.rows(table), occupations, None)
        notes += more
        for code, title in kept:
            key = (code, title.casefold())
            if key in own:
                equal += 1
            else:
                titles.setdefault(key, Edge(code, occupations[code], "", title, relation))
    return list(titles.values()), [*notes, *noted(equal, "title", "equal to that of the occupation left out")]


def read_descriptions(release: OnetRelease) -> Found:
    """Reads occupations, in the place of a skill, and their descriptions of a few sentences."""
    return [Edge(code, title, "", text, "description") for code, title, text in release.rows(tables.DESCRIPTIONS)], []


_TITLES = OnetGraph("title", read_titles, (tables.OCCUPATIONS, tables.ALTERNATE_TITLES), (tables.REPORTED_TITLES,))
GRAPHS = {
    "activity_job": _relation("job", tables.OCCUPATIONS, tables.TASK_ACTIVITIES, (0, 2), "activity", tables.DETAILED),
    "technology_job": _relation("job", tables.OCCUPATIONS, tables.TECHNOLOGIES, (0, 1), "technology"),
    "tool_job": _relation("job", tables.OCCUPATIONS, tables.TOOLS, (0, 1), "tool"),
    "job_title": _TITLES,
    "job_alias": _TITLES._replace(kind="alias"),
    "job_description": OnetGraph("vacancy", read_descriptions, (tables.DESCRIPTIONS,)),
    "activity_task": _relation(  # sentences like those of vacancies
        "vacancy", tables.STATEMENTS, tables.TASK_ACTIVITIES, (1, 2), "task", tables.DETAILED
    ),
    "activity_alias": OnetGraph(
        "alias", read_activity_aliases, (tables.DETAILED, tables.INTERMEDIATE), (tables.GENERAL,)
    ),
}
_JOBS = frozenset({"job_alias", "job_description"})  # with a job in the place of a skill
_NAMES = "job_alias"  # the graph of further names of jobs


def read(request: SourceRequest) -> SourceEdges:
    """Reads the graphs of one release.

    No release has the files of all graphs: if the request names none, the available ones are read, with a note on the
    others.

    Raises:
      UserError: no folder, no such version in it, a named graph whose files are missing, a damaged zip, or broken rows.
    """
    folder = request.folder("the folder of O*NET's text files")
    release = find_release(folder, request.version, setting=request.setting)
    absent = {graph: reason for graph in request.graphs if (reason := _absence(release, graph))}
    graphs = [graph for graph in request.graphs if graph not in absent]
    if absent and (request.named or not graphs):
        there = ", ".join(graph for graph in GRAPHS if not _absence(release, graph)) or "no graph"
        raise UserError(
            f"{request.setting}.graphs holds {' and '.join(absent)}, but {release} in {release.path} has "
            f"{' and '.join(dict.fromkeys(absent.values()))}. It has the files of {there}: name these, or set "
            f"{request.setting}.version to a release that has the others. Get it from {WHERE}"
        )
    if request.names and (reason := _absence(release, _NAMES)):
        raise UserError(
            f"{request.setting}.names asks for names of jobs, but {release} in {release.path} has {reason}. Take 'job' "
            f"out of it, or get the file from {WHERE}"
        )
    edges, notes = {}, [f"{graph} left out: there is {reason}" for graph, reason in absent.items()]
    for graph in dict.fromkeys([*graphs, *[_NAMES] * len(request.names)]):
        edges[graph], found = load_graph(release, graph, request.cache_dir)
        notes += [f"{graph}: {note}" for note in found]
    names = {kind: [edges[_NAMES]] for kind in request.names}
    return SourceEdges(f"{release} in {folder}", {graph: edges[graph] for graph in graphs}, tuple(notes), names)


def load_graph(release: OnetRelease, graph: str, cache_dir: Path) -> tuple[list[Edge], tuple[str, ...]]:
    """Loads the edges of one of `GRAPHS`, prepared on first use, and the notes of that preparation.

    Raises UserError as the reader of the graph and `uwe_jax.sources.tfds_edges.load_edges` do.
    """
    # imported lazily: TFDS takes a second, and other sources do not need it
    from uwe_jax.sources.tfds_edges import load_edges

    wanted = GRAPHS[graph]
    key = f"{release.label}-{release.digest((*wanted.needs, *wanted.takes))}"
    return load_edges("onet", graph, key, lambda: wanted.read(release), release.path.parent, cache_dir)


def _absence(release: OnetRelease, graph: str) -> str:
    """Returns the files that a release lacks for a graph; "" if none."""
    missing = [table.files for table in GRAPHS[graph].needs if not release.file_of(table)]
    return " and ".join(f"no file {' or '.join(map(repr, files))}" for files in missing)


SOURCE = Source(
    {name: graph.kind for name, graph in GRAPHS.items()},
    read,
    default=tuple(name for name in GRAPHS if name not in _JOBS),
    jobs=_JOBS,
    reads={"version": GRAPHS},
    names=("job",),
)
