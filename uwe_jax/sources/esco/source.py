"""ESCO as a source of training graphs."""

from __future__ import annotations

from pathlib import Path

from uwe_jax.data.graph import Edge
from uwe_jax.sources.esco.reader import (
    EscoEdges,
    read_alias_edges,
    read_description_edges,
    read_job_edges,
    read_skill_edges,
)
from uwe_jax.sources.esco.release import NEEDS, EscoRelease, find_release
from uwe_jax.sources.source import TITLE, Source, SourceEdges, SourceRequest

OFFERS = {
    "skill_job": "job",
    "skill_alias": "alias",
    "job_title": TITLE,
    "job_alias": "alias",  # as job_title, with the job in the place of a skill
    "skill_description": "vacancy",
    "job_description": "vacancy",  # the job in the place of a skill
    "skill_skill": "alias",
}
_RELATED = {"skill_job": read_job_edges, "skill_skill": read_skill_edges}


def read(request: SourceRequest) -> SourceEdges:
    """Reads the graphs of one release, in one language.

    Raises:
      UserError: no folder, no complete version in it, a damaged zip, or broken rows.
    """
    folder = request.folder("the folder of the ESCO zips")
    named = {kind: f"{kind}_alias" for kind in request.names}
    graphs = tuple(dict.fromkeys([*request.graphs, *named.values()]))
    release = find_release(folder, graphs, request.language, request.version, setting=request.setting)
    read, notes = {}, []
    for graph in graphs:
        read[graph], found = load_graph(release, graph, request.relations, request.cache_dir)
        notes += [f"{graph}: {note}" for note in found]
    names = {kind: [read[graph]] for kind, graph in named.items()}
    return SourceEdges(f"{release} in {folder}", {g: read[g] for g in request.graphs}, tuple(notes), names)


def load_graph(release: EscoRelease, graph: str, relations: str, cache_dir: Path) -> tuple[list[Edge], tuple[str, ...]]:
    """Loads the edges of one graph of `NEEDS`, prepared on first use, and the notes of that preparation.

    Raises UserError as the readers of the graph and `uwe_jax.sources.tfds_edges.load_edges` do.
    """
    # imported lazily: TFDS takes a second, and other sources do not need it
    from uwe_jax.sources.tfds_edges import load_edges

    def read() -> EscoEdges:
        if graph in _RELATED:
            return _RELATED[graph](release, relations)
        read_labels = read_description_edges if graph.endswith("_description") else read_alias_edges
        return read_labels(release, *NEEDS[graph])

    only = f"_{relations}" if graph in _RELATED and relations != "both" else ""
    key = f"{release.version or 'unknown'}-{release.digest(graph)}"
    folder = release.files[NEEDS[graph][0]].path.parent
    return load_edges("esco", f"{graph}{only}_{release.language.replace(',', '_')}", key, read, folder, cache_dir)


SOURCE = Source(
    OFFERS,
    read,
    default=("skill_job", "skill_alias"),
    jobs=frozenset({"job_alias", "job_description"}),
    names=("skill", "job"),
    reads={"relations": ("skill_job", "skill_skill"), "language": OFFERS, "version": OFFERS},
)
