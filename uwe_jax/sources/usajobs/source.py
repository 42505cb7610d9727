"""Vacancy questionnaires of USAJOBS as a source: the duties that agencies ask about, and the titles of their jobs."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from uwe_jax.data.graph import Edge
from uwe_jax.data.text import normalise
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.progress import counted
from uwe_jax.sources.folders import DEPTH, check_folder, files_in, only_copy
from uwe_jax.sources.notes import noted, noted_of
from uwe_jax.sources.source import Source, SourceEdges, SourceRequest
from uwe_jax.sources.tables.formats import EXPECTED_FORMATS
from uwe_jax.sources.tables.problems import Problems
from uwe_jax.sources.tables.reading import has_columns, read_rows
from uwe_jax.sources.usajobs.statements import clean, is_boilerplate, is_generic, one_spelling, wording

COLUMNS = {"title": "text", "statements": "texts"}
GRAPH = "statement_job"
DOWNLOAD = (
    f"Expected a table with the columns {' and '.join(COLUMNS)}, one job title and the list of its statements per row, "
    f"in one of {EXPECTED_FORMATS}."
)


def find_file(folder: Path) -> Path:
    """Finds the table of titles and statements; UserError if there is none, or two that differ."""
    check_folder(folder, f"{DOWNLOAD} Set source.path to its folder.")
    found = [path for path in files_in(folder, DEPTH) if has_columns(path, COLUMNS)]
    path = only_copy(found, folder, "titles and their statements")
    if path is None:
        raise UserError(f"{folder} holds no titles with statements. {DOWNLOAD}")
    return path


def read_job_edges(path: Path) -> tuple[list[Edge], list[str]]:
    """Reads the statement-job graph: an edge per title and statement of it, without ids.

    Statements of the same wording are one text, and titles that differ in case alone are one title. Statements that
    are not duties or that unrelated titles share (see `statements`) give no edge.

    Args:
      path: a table with the columns of `COLUMNS`.

    Returns:
      The distinct edges in the order of the file, and phrases on what was left out or joined.

    Raises:
      UserError: a missing column, broken rows, or a file that cannot be read.
    """
    problems = Problems(str(path))
    rows: list[tuple[str, list[str]]] = []
    for place, row in read_rows(path, path.name, COLUMNS, problems):
        title = normalise(row["title"])
        if not title:
            problems.add(place, f"no title above {len(row['statements'])} statements", "the title of a job")
        rows.append((title, [normalise(statement) for statement in row["statements"]]))
    problems.check()

    spelling = one_spelling(title for title, _ in rows)
    texts: dict[str, str] = {}  # the first spelling of every wording
    titles_of: dict[str, dict[str, None]] = defaultdict(dict)  # in the order of the file
    pairs = boilerplate = 0
    key_of: dict[str, str] = {}  # the wording of a statement; "" for boilerplate
    for title, statements in rows:
        for statement in statements:
            if statement not in key_of:
                text = clean(statement)
                key_of[statement] = "" if is_boilerplate(statement) else wording(text)
                texts.setdefault(key_of[statement], text)
            pairs += 1
            if key := key_of[statement]:
                titles_of[key][spelling[title]] = None
            else:
                boilerplate += 1
    generic = {key for key, titles in titles_of.items() if is_generic(titles)}
    shared = sum(len(titles_of[key]) for key in generic)
    edges = [
        Edge("", texts[key], "", title, "statement")
        for key, titles in titles_of.items()
        if key not in generic
        for title in titles
    ]
    return edges, [
        *noted_of(boilerplate, pairs, "statement", "left out as part of the form"),
        *noted(shared, "pair", f"of {counted(len(generic), 'statement')} that unrelated titles share left out"),
        *noted(len(spelling) - len(set(spelling.values())), "spelling", "of a title joined with others"),
    ]


def _read(request: SourceRequest) -> SourceEdges:
    # imported lazily: TFDS takes a second, and other sources do not need it
    from uwe_jax.sources.tfds_edges import load_file_edges

    path = find_file(request.folder("the folder of the questionnaires' titles and statements"))
    edges, notes = load_file_edges("usajobs", GRAPH, path, read_job_edges, request.cache_dir)
    return SourceEdges(f"USAJOBS questionnaires in {path}", {GRAPH: edges}, notes)


SOURCE = Source({GRAPH: "job"}, _read)
