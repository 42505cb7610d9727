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

JOBS = frozenset({"job_alias", "job_description"})


def read(request: SourceRequest) -> SourceEdges:
    """The graphs of one release, in one language.

    Raises:
      UserError: no folder, no version in it that has all files, a damaged zip, or broken rows.
    """
    # imported where it is needed: TFDS takes a second, and the other sources do without
    from uwe_jax.sources.esco.esco_dataset_builder import load_edges

    folder = request.folder("the folder of the ESCO zips")
    release = find_release(folder, request.graphs, request.language, request.version, setting=request.setting)
    edges, notes = {}, []
    for graph in request.graphs:
        edges[graph], found = load_edges(release, graph, request.relations, request.cache_dir / "tfds")
        notes += [f"{graph}: {note}" for note in found]
    return SourceEdges(f"{release} in {folder}", edges, tuple(notes))


READS = {"relations": ("skill_job", "skill_skill"), "language": OFFERS, "version": OFFERS}
SOURCE = Source(OFFERS, read, default=("skill_job", "skill_alias"), jobs=JOBS, reads=READS)
