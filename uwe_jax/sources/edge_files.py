"""Reads a folder of edge files: `skill_<kind>.<format>`, or several files in a folder `skill_<kind>/`.

A file has one edge per row with the columns `left,right[,relation][,left_id,right_id]`, found by name; `left` is the
skill. Other columns are ignored. Any format of `uwe_jax.sources.tables.formats` is read.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from uwe_jax.data.graph import check_kind
from uwe_jax.data.text import normalise
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.kinds import SKILL
from uwe_jax.runtime.progress import some
from uwe_jax.sources.folders import check_folder
from uwe_jax.sources.mixture.columns import EdgeColumns, edge_columns
from uwe_jax.sources.tables.columns import read_columns
from uwe_jax.sources.tables.formats import EXPECTED_FORMATS, table_format
from uwe_jax.sources.tables.problems import Problems
from uwe_jax.sources.tables.reading import read_rows

LOG = logging.getLogger(__name__)
MAX_TEXT = 100_000  # characters; a longer text is a sign of missing line breaks

REQUIRED = {"left": "text", "right": "text"}
OPTIONAL = {"relation": "text", "left_id": "id", "right_id": "id"}

_PREFIX = f"{SKILL}_"
_EXPECTED = (
    f"{_PREFIX}<kind> in one of {EXPECTED_FORMATS}, or a folder {_PREFIX}<kind>/ of them, columns "
    "left,right[,relation][,left_id,right_id]"
)
_DOCUMENTS = {".md", ".rst"}  # allowed beside the edge files


def read_edge_folder(
    folder: Path | str, kinds: tuple[str, ...] | None = None, *, level: int = logging.INFO
) -> dict[str, EdgeColumns]:
    """Reads the edges of a folder.

    Args:
      folder: with the edge files.
      kinds: wanted, of the right sides; None reads all.
      level: of the log line per graph: its file, or its number of files, which are then logged at DEBUG.

    Returns:
      Edges per kind, in the order of `kinds`, else by name. Texts are normalised and not empty.

    Raises:
      UserError: no such folder, no or two sources for a kind, an unknown format, a missing column, or broken rows.
    """
    folder = Path(folder).expanduser()
    files = find_edge_files(folder)
    for kind in kinds or ():
        if kind not in files:
            raise UserError(
                f"{folder} has no edges for {kind!r}; it has {', '.join(map(repr, files))}. Add "
                f"{_PREFIX}{kind}.csv (or another of {EXPECTED_FORMATS}), or take {kind!r} out of "
                "source.kinds."
            )
    problems = Problems(str(folder))
    edges = {kind: _read_files(files[kind], folder, problems, level) for kind in (files if kinds is None else kinds)}
    problems.check()
    for kind, columns in edges.items():
        if not len(columns):
            names = ", ".join(str(path.relative_to(folder)) for path in files[kind])
            raise UserError(
                f"{folder} has 0 edges for {kind!r}: {names} hold no row. Expected at least one row: "
                f"add edges, or take {kind!r} out of source.kinds."
            )
    return edges


def read_sample(kinds: tuple[str, ...] | None = None) -> dict[str, EdgeColumns]:
    """Reads the embedded sample of a small labour market: job, vacancy and alias."""
    with resources.as_file(resources.files("uwe_jax.sources") / "sample") as folder:
        return read_edge_folder(folder, kinds, level=logging.DEBUG)


def find_edge_files(folder: Path) -> dict[str, list[Path]]:
    """Returns the edge files of a folder by kind, sorted by name.

    Raises:
      UserError: no such folder, no edge file in it, two sources for a kind, or a file of an unknown format.
    """
    check_folder(folder, f"Expected a folder with {_EXPECTED}: set source.path to it.")
    found: dict[str, list[Path]] = {}
    entries = _entries(folder)
    for entry in entries:
        if not entry.name.startswith(_PREFIX):
            continue
        kind = check_kind(entry.name.removeprefix(_PREFIX).split(".")[0])
        if kind in found:
            raise UserError(
                f"{folder} has two sources for {kind!r}: {entry.name} and "
                f"{found[kind][0].relative_to(folder)}. Expected one: put both files into {_PREFIX}{kind}/."
            )
        inside = _entries(entry) if entry.is_dir() else [entry]
        found[kind] = [_known_format(path) for path in inside if path.suffix.lower() not in _DOCUMENTS or path == entry]
        if not found[kind]:
            raise UserError(f"{entry} holds no edge file. Expected files ending in {EXPECTED_FORMATS}.")
    if not found:
        holds = some([entry.name for entry in entries]) or "nothing"
        raise UserError(f"{folder} has no edge file: it holds {holds}. Expected {_EXPECTED}.")
    return found


def _entries(folder: Path) -> list[Path]:
    return [entry for entry in sorted(folder.iterdir()) if not entry.name.startswith(".")]


def _known_format(path: Path) -> Path:
    # An unknown format is an error: its edges would be missing silently.
    if not table_format(path) or not path.is_file():
        raise UserError(
            f"{path} is in no format that is read here. Expected a file ending in {EXPECTED_FORMATS}: "
            "convert it, or move it elsewhere."
        )
    return path


def _read_files(paths: Sequence[Path], folder: Path, problems: Problems, level: int) -> EdgeColumns:
    unread = Problems(str(folder))
    names = [str(path.relative_to(folder)) for path in paths]
    each = logging.DEBUG if len(paths) > 1 else level
    tables = [
        read_columns(path, name, REQUIRED, unread, optional=OPTIONAL, level=each)
        for path, name in zip(paths, names, strict=True)
    ]
    columns = edge_columns(pa.concat_tables(tables))
    if len(paths) > 1:
        LOG.log(level, "Read %s: %d files, %s rows", paths[0].parent, len(paths), f"{len(columns):,}")
    lengths = pc.min_max(
        pa.chunked_array([pc.utf8_length(nodes.texts) for nodes in (columns.left_nodes, columns.right_nodes)])
    ).as_py()
    if unread.count or lengths["min"] == 0 or (lengths["max"] or 0) > MAX_TEXT:
        for path, name in zip(paths, names, strict=True):
            for place, row in read_rows(path, name, REQUIRED, problems, optional=OPTIONAL):
                for column in REQUIRED:
                    text = normalise(row[column])
                    if not text:
                        problems.add(place, f"an empty text in {column!r}", "a text on both sides")
                    elif len(text) > MAX_TEXT:
                        problems.add(place, f"{len(text):,} characters in {column!r}", f"at most {MAX_TEXT:,}")
    return columns
