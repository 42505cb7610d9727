"""Vacancy questionnaires of USAJOBS as a source: the duties that agencies ask about, and the titles of their jobs."""

from __future__ import annotations

from uwe_jax.sources.source import Source, SourceEdges, SourceRequest
from uwe_jax.sources.usajobs.reader import GRAPH, find_file


def _read(request: SourceRequest) -> SourceEdges:
    # imported lazily: TFDS takes a second, and other sources do not need it
    from uwe_jax.sources.file_edges import load_file_edges
    from uwe_jax.sources.usajobs.usajobs_dataset_builder import Builder

    path = find_file(request.folder("the folder of the questionnaires' titles and statements"))
    edges, notes = load_file_edges(Builder, path, GRAPH, request.cache_dir)
    return SourceEdges(f"USAJOBS questionnaires in {path}", {GRAPH: edges}, notes)


SOURCE = Source({GRAPH: "job"}, _read)
