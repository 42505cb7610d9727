"""O*NET as a source of training graphs."""

from __future__ import annotations

from pathlib import Path

from uwe_jax.data.graph import Edge
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.onet.reader import GRAPHS
from uwe_jax.sources.onet.release import WHERE, OnetRelease, find_release
from uwe_jax.sources.source import Source, SourceEdges, SourceRequest

_JOBS = frozenset({"job_alias", "job_description"})  # with a job in the place of a skill


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
    edges, notes = {}, [f"{graph} left out: there is {reason}" for graph, reason in absent.items()]
    for graph in graphs:
        edges[graph], found = load_graph(release, graph, request.cache_dir)
        notes += [f"{graph}: {note}" for note in found]
    return SourceEdges(f"{release} in {folder}", edges, tuple(notes))


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
)
