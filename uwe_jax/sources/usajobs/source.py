"""Vacancy questionnaires of USAJOBS as a source: what the agencies ask about is what the job does."""

from __future__ import annotations

from uwe_jax.sources.source import Source, SourceEdges, SourceRequest
from uwe_jax.sources.usajobs.reader import GRAPH, find_file


def read(request: SourceRequest) -> SourceEdges:
    """The graph of statements, in the place of skills, and the job titles they stand under.

    Raises:
      UserError: no folder, no such table in it, two that differ, or broken rows.
    """
    # imported where it is needed: TFDS takes a second, and the other sources do without
    from uwe_jax.sources.file_edges import load_file_edges
    from uwe_jax.sources.usajobs.usajobs_dataset_builder import Builder

    path = find_file(request.folder("the folder of the questionnaires' titles and statements"))
    edges, notes = load_file_edges(Builder, path, GRAPH, request.cache_dir)
    return SourceEdges(f"USAJOBS questionnaires in {path}", {GRAPH: edges}, notes)


SOURCE = Source({GRAPH: "job"}, read)
