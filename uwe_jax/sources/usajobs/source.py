"""Vacancy questionnaires of USAJOBS as a source: what the agencies ask about is what the job does."""

from __future__ import annotations

from pathlib import Path

from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.folders import check_folder
from uwe_jax.sources.source import Source, SourceEdges, SourceRequest
from uwe_jax.sources.tables.typed_rows import FORMATS
from uwe_jax.sources.usajobs.reader import COLUMNS, find_questionnaires

GRAPH = "statement_job"
DOWNLOAD = (
    f"Expected a table with the columns {' and '.join(COLUMNS)}, one job title and the list of its statements a row, "
    f"in one of {', '.join(FORMATS)}."
)


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


def find_file(folder: Path) -> Path:
    """The table of titles and statements; UserError where there is none."""
    check_folder(folder, f"{DOWNLOAD} Set source.path to its folder.")
    path = find_questionnaires(folder)
    if path is None:
        raise UserError(f"{folder} holds no titles with statements. {DOWNLOAD}")
    return path


SOURCE = Source({GRAPH: "job"}, read)
