"""Saves a composition as a folder of edge files with weight and provenance, and graphs.json."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import uwe_jax
from uwe_jax.data.decontamination import ExcludedTexts
from uwe_jax.data.graph import Edge
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import write_json
from uwe_jax.runtime.folders import replacing, restore
from uwe_jax.runtime.json_file import read_json
from uwe_jax.runtime.kinds import SKILL
from uwe_jax.runtime.settings import from_mapping
from uwe_jax.sources.mixture.columns import EdgeColumns, coded, columns_of, edge_columns
from uwe_jax.sources.mixture.compose import compose
from uwe_jax.sources.mixture.parts import Composition, Part, PartInfo
from uwe_jax.sources.tables.columns import UNREADABLE, parquet_columns

_MANIFEST = "graphs.json"
_FORMAT = 1
_TEXTS = ["left", "right", "relation", "part", "left_id", "right_id"]
_OF_JOBS = "of_jobs"
# Bytes of a column's dictionary of distinct texts; beyond it, Parquet would write each text in full.
_DICTIONARY = 1 << 28
_ROWS = 1 << 20  # of a row group


def is_saved(folder: Path) -> bool:
    """Returns whether a folder was written by `save`."""
    restore(folder)
    return (folder / _MANIFEST).is_file()


def check_free(folder: Path) -> None:
    """Raises UserError if anything but a saved composition would be overwritten."""
    restore(folder)
    if not folder.exists():
        return
    others = {path.name for path in folder.iterdir()} if folder.is_dir() else {folder.name}
    with contextlib.suppress(UserError):  # of graphs.json of another program
        if is_saved(folder):
            manifest = _read_manifest(folder)
            others -= {_MANIFEST, *(f"{SKILL}_{kind}.parquet" for kind in manifest["fingerprints"])}
            others -= {_names_file(kind) for kind in manifest["names"]}
    if others:
        raise UserError(
            f"{folder} exists and has other files than combined graphs: {', '.join(sorted(others)[:5])}. Choose "
            "another folder with --out."
        )


def save(composition: Composition, folder: Path, settings: dict[str, Any]) -> None:
    """Writes a composition atomically.

    One Parquet file per kind, skill_<kind>.parquet, has a row per edge, part and relation with the columns left, right,
    relation, part, left_id, right_id and weight, and of_jobs where jobs take the place of skills; names_<kind>.parquet
    has a row per further name of a node with the columns label and name. graphs.json has the fingerprints, the parts
    and the settings.

    Args:
      composition: to write.
      folder: new, empty, or with an earlier composition, which is replaced.
      settings: of the source, for graphs.json.

    Raises:
      UserError: the folder has other files or cannot be written.
    """
    advice = "name another folder with --out"
    # Waits for another process instead of losing minutes of work.
    with replacing(folder, check=lambda: check_free(folder), patience=math.inf, advice=advice) as new:
        new.mkdir()
        for kind in composition.graphs.graphs:
            _write_edges(composition, kind, new / f"{SKILL}_{kind}.parquet")
        for kind, names in composition.graphs.names.items():
            labels = [composition.graphs.texts[kind][node] for node in names.owners]
            pq.write_table(pa.table({"label": labels, "name": list(names.texts)}), new / _names_file(kind))
        manifest = {
            "format": _FORMAT,
            "version": uwe_jax.__version__,
            "fingerprints": composition.graphs.fingerprints(),
            "graphs": composition.graphs.counts(),
            "parts": [dataclasses.asdict(part) for part in composition.parts],
            "edges": composition.counts(),
            "notes": composition.notes,
            "settings": settings,
        }
        if composition.graphs.names:
            manifest["names"] = {kind: len(names.texts) for kind, names in composition.graphs.names.items()}
        write_json(new / _MANIFEST, manifest)


def read_saved(folder: Path, kinds: Sequence[str] = (), excluded: ExcludedTexts | None = None) -> Composition:
    """Reads a composition written by `save`.

    Args:
      folder: that `is_saved`.
      kinds: graphs wanted; empty takes all.
      excluded: texts of evaluations, in addition to those excluded when the folder was written.

    Raises:
      UserError: another format, a missing kind, a file that cannot be read, or graphs other than those written.
    """
    manifest = _read_manifest(folder)
    there = manifest["fingerprints"]
    for kind in kinds:
        if kind not in there:
            raise UserError(
                f"{folder} has no edges for {kind!r}; it has {', '.join(map(repr, there))}. Take {kind!r} out of "
                "source.kinds, or combine the graphs again."
            )
    infos: list[PartInfo] = manifest["parts"]
    changed = UserError(
        f"The edges in {folder} are not those that were combined: a file was changed, or a copy is incomplete. "
        f"Combine them again, or remove {_MANIFEST} to train on the edge files as they are."
    )
    weights = {info.name: info.weight for info in infos}
    edges: dict[str, dict[str, EdgeColumns]] = {name: {} for name in weights}
    kinds_of = {f"{kind}{ending}": kind for kind in there for ending in ("", _OF_JOBS)}
    for kind in there:
        for name, of_jobs, found in _read_edges(folder / f"{SKILL}_{kind}.parquet", weights, changed):
            edges[name][f"{kind}{_OF_JOBS}" if of_jobs else kind] = found
    marked = frozenset(f"{kind}{_OF_JOBS}" for kind in there)
    parts = [Part(info, edges[info.name], kinds_of, marked) for info in infos]
    parts[0] = dataclasses.replace(parts[0], names={kind: [_read_names(folder, kind)] for kind in manifest["names"]})
    composition = compose(parts)
    if composition.graphs.fingerprints() != there:
        raise changed
    if kinds or (excluded is not None and excluded.found):
        composition = compose(parts, kinds, excluded=excluded)
    return dataclasses.replace(composition, notes=(*manifest["notes"], *composition.notes))


def _write_edges(composition: Composition, kind: str, path: Path) -> None:
    graphs, graph, stated = composition.graphs, composition.graphs.graphs[kind], composition.statements[kind]
    names = [part.name for part in composition.parts]
    weights = np.array([part.weight for part in composition.parts], np.float32)

    def coded(codes: np.ndarray, *columns: Sequence[str]) -> list[pa.DictionaryArray]:
        # Only of these rows: each row group is written with the whole dictionary of its column.
        used, codes = np.unique(codes, return_inverse=True)
        indices, used = pa.array(codes, pa.int32()), used.tolist()
        return [pa.DictionaryArray.from_arrays(indices, [texts[k] for k in used]) for texts in columns]

    fields = [*((name, pa.dictionary(pa.int32(), pa.string())) for name in _TEXTS), ("weight", pa.float32())]
    fields += [(_OF_JOBS, pa.bool_())] if stated.of_jobs.any() else []
    with pq.ParquetWriter(
        path, pa.schema(fields), compression="zstd", dictionary_pagesize_limit=_DICTIONARY, use_dictionary=_TEXTS
    ) as file:
        for start in range(0, len(stated.left), _ROWS):
            rows = slice(start, start + _ROWS)
            left, left_id = coded(stated.left[rows], graphs.skills, graphs.skill_ids)
            right, right_id = coded(stated.right[rows], graph.neighbours, graph.neighbour_ids)
            others = *coded(stated.relation[rows], composition.relations), *coded(stated.part[rows], names)
            columns = [left, right, *others, left_id, right_id, pa.array(weights[stated.part[rows]])]
            columns.append(pa.array(stated.of_jobs[rows]))
            file.write_table(pa.Table.from_arrays(columns[: len(fields)], schema=pa.schema(fields)))


def _read_edges(
    path: Path, weights: Mapping[str, float], changed: UserError
) -> Iterator[tuple[str, bool, EdgeColumns]]:
    """Yields the edges of a file by name of their part, and by whether jobs take the place of skills in them.

    Raises:
      UserError: the file cannot be read, or `changed` if parts or weights differ.
    """
    try:
        table = parquet_columns(path, path.name, dict.fromkeys(_TEXTS, "text"))
        names, part = coded(table["part"])
        columns = edge_columns(table.drop_columns("part"))
        del table
        with pq.ParquetFile(path) as file:
            marked = [name for name in (_OF_JOBS,) if name in file.schema_arrow.names]
            others = file.read(["weight", *marked])
        weight = others["weight"].cast(pa.float32()).to_numpy()
        of_jobs = others[_OF_JOBS].to_numpy().astype(bool) if marked else np.zeros(len(weight), bool)
    except UNREADABLE as error:
        raise UserError(f"{path} cannot be read: {error}. Combine the graphs again.") from error
    parts = names.to_pylist()
    expected = np.array([weights.get(name, np.nan) for name in parts], np.float32)
    if not np.array_equal(weight, expected[part]):
        raise changed
    for number, name in enumerate(parts):
        for role in (False, True):
            rows = (part == number) & (of_jobs == role)
            if rows.any():
                yield name, role, columns if rows.all() else columns.where(rows)


def _names_file(kind: str) -> str:
    return f"names_{kind}.parquet"


def _read_names(folder: Path, kind: str) -> EdgeColumns:
    path = folder / _names_file(kind)
    try:
        table = parquet_columns(path, path.name, {"label": "text", "name": "text"})
    except UNREADABLE as error:
        raise UserError(f"{path} cannot be read: {error}. Combine the graphs again.") from error
    labels, names = (table[column].to_pylist() for column in ("label", "name"))
    return columns_of(kind, (Edge("", label, "", name) for label, name in zip(labels, names, strict=True)))


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / _MANIFEST
    manifest = read_json(path, "Combine the graphs again.")
    found = manifest.get("format")
    if found != _FORMAT:
        raise UserError(f"{path} is of format {found}; this version reads format {_FORMAT}. Combine the graphs again.")
    try:
        parts = [from_mapping(PartInfo, part) for part in manifest["parts"]]
        return {
            "fingerprints": dict(manifest["fingerprints"]),
            "parts": parts,
            "notes": tuple(manifest["notes"]),
            "names": tuple(manifest.get("names", ())),
        }
    except (UserError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}). Combine the graphs again.") from error
