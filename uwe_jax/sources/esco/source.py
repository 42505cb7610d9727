"""ESCO as a source of training graphs."""

from __future__ import annotations

from uwe_jax.sources.esco.release import find_release
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


def read(request: SourceRequest) -> SourceEdges:
    """Reads the graphs of one release, in one language.

    Raises:
      UserError: no folder, no complete version in it, a damaged zip, or broken rows.
    """
    # imported lazily: TFDS takes a second, and other sources do not need it
    from uwe_jax.sources.esco.esco_dataset_builder import load_edges

    folder = request.folder("the folder of the ESCO zips")
    release = find_release(folder, request.graphs, request.language, request.version, setting=request.setting)
    edges, notes = {}, []
    for graph in request.graphs:
        edges[graph], found = load_edges(release, graph, request.relations, request.cache_dir / "tfds")
        notes += [f"{graph}: {note}" for note in found]
    return SourceEdges(f"{release} in {folder}", edges, tuple(notes))


SOURCE = Source(
    OFFERS,
    read,
    default=("skill_job", "skill_alias"),
    jobs=frozenset({"job_alias", "job_description"}),
    reads={"relations": ("skill_job", "skill_skill"), "language": OFFERS, "version": OFFERS},
)
