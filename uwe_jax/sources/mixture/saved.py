"""A composition as a folder: edge files like a user's own, with weight and provenance, and graphs.json beside them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import uwe_jax
from uwe_jax.data.decontamination import ExcludedTexts
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import write_json
from uwe_jax.runtime.folders import replacing, restore
from uwe_jax.runtime.json_file import read_json
from uwe_jax.runtime.kinds import SKILL
from uwe_jax.runtime.settings import from_mapping
from uwe_jax.sources.mixture.columns import EdgeColumns, Nodes
from uwe_jax.sources.mixture.compose import compose
from uwe_jax.sources.mixture.parts import Composition, Part, PartInfo

_MANIFEST = "graphs.json"
_FORMAT = 1
_TEXTS = ["left", "right", "relation", "part", "left_id", "right_id"]
# Bytes of a column's dictionary of distinct texts; with less, Parquet would write every text anew.
_DICTIONARY = 1 << 28


def is_saved(folder: Path) -> bool:
    """Whether a folder holds what `save` wrote."""
    restore(folder)
    return (folder / _MANIFEST).is_file()


def check_free(folder: Path) -> None:
    """Raises UserError if something else than a saved composition would be overwritten."""
    restore(folder)
    if not folder.exists():
        return
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else {folder.name}
    if names and (others := names - _own_files(folder)):
        raise UserError(
            f"{folder} is there and holds something else than combined graphs: {', '.join(sorted(others)[:5])}. Name "
            "another with --out."
        )


def _own_files(folder: Path) -> set[str]:
    """Names of the files that `save` wrote into a folder; none where it wrote none."""
    if not folder.is_dir() or not is_saved(folder):
        return set()
    try:
        return {_MANIFEST, *(f"{SKILL}_{kind}.parquet" for kind in _read_manifest(folder)["fingerprints"])}
    except UserError:  # of another program
        return set()


def save(composition: Composition, folder: Path, settings: dict[str, Any]) -> None:
    """Writes a composition; a kill leaves no folder or the whole one.

    One Parquet file per kind, skill_<kind>.parquet, has a row per edge, part and relation with the columns left, right,
    relation, part, left_id, right_id and weight. graphs.json has the fingerprints, the parts and the settings.

    Args:
      composition: to write.
      folder: is made; it may be there if it is empty or holds an earlier composition, which is replaced.
      settings: of the source, kept for those who read graphs.json.

    Raises:
      UserError: the folder holds something else or cannot be written.
    """
    advice = "name another folder with --out"
    # Another one is waited for: the work before this one took minutes.
    with replacing(folder, check=lambda: check_free(folder), patience=math.inf, advice=advice) as new:
        new.mkdir()
        for kind in composition.graphs.graphs:
            _write_edges(composition, kind, new / f"{SKILL}_{kind}.parquet")
        write_json(new / _MANIFEST, _manifest(composition, settings))


def read_saved(folder: Path, kinds: Sequence[str] = (), excluded: ExcludedTexts | None = None) -> Composition:
    """Reads what `save` wrote.

    Args:
      folder: that `is_saved`.
      kinds: graphs wanted; empty takes all there are.
      excluded: of evaluations, beside what was kept out when the folder was written.

    Raises:
      UserError: another format, a kind that is not there, a file that cannot be read, or graphs that are not those
        that were written.
    """
    manifest = _read_manifest(folder)
    there = manifest["fingerprints"]
    for kind in kinds:
        if kind not in there:
            raise UserError(
                f"{folder} has no edges for {kind!r}; it has {', '.join(map(repr, there))}. Take {kind!r} out of "
                "source.kinds, or combine the graphs anew."
            )
    infos: dict[str, PartInfo] = {info.name: info for info in manifest["parts"]}
    tables = {kind: _read_edges(folder / f"{SKILL}_{kind}.parquet") for kind in there}
    parts = []
    for info in infos.values():
        rows = {kind: edges.where(part == info.name) for kind, (edges, part) in tables.items()}
        # Their weights stand with the edges.
        parts.append(Part(info.name, info.origin, 1.0, {k: e for k, e in rows.items() if len(e)}, {k: k for k in rows}))

    def composed(kinds: Sequence[str] = (), excluded: ExcludedTexts | None = None) -> Composition:
        found = compose(parts, kinds, excluded=excluded)
        own = tuple(infos[part.name] for part in found.parts)
        graphs = dataclasses.replace(found.graphs, part_weights={info.name: info.weight for info in own})
        return dataclasses.replace(found, graphs=graphs, parts=own, notes=(*manifest["notes"], *found.notes))

    composition = composed()
    if composition.graphs.fingerprints() != there:
        raise UserError(
            f"The edges in {folder} are not those that were combined: a file was changed, or a copy is not whole. "
            f"Combine them anew, or remove {_MANIFEST} to train on the edge files as they are."
        )
    return composed(kinds, excluded) if kinds or (excluded is not None and excluded.found) else composition


def _write_edges(composition: Composition, kind: str, path: Path) -> None:
    # imported where it is needed, for it takes a quarter of a second
    import pyarrow as pa
    import pyarrow.parquet as pq

    graphs, graph, stated = composition.graphs, composition.graphs.graphs[kind], composition.statements[kind]
    parts = [part.name for part in composition.parts]

    def coded(codes: np.ndarray, texts: Sequence[str]) -> pa.DictionaryArray:
        return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(texts, pa.string()))

    table = pa.table(
        {
            "left": coded(stated.left, graphs.skills),
            "right": coded(stated.right, graph.neighbours),
            "relation": coded(stated.relation, composition.relations),
            "part": coded(stated.part, parts),
            "left_id": coded(stated.left, graphs.skill_ids),
            "right_id": coded(stated.right, graph.neighbour_ids),
            "weight": np.array([part.weight for part in composition.parts], np.float32)[stated.part],
        }
    )
    pq.write_table(table, path, compression="zstd", dictionary_pagesize_limit=_DICTIONARY, use_dictionary=_TEXTS)


def _read_edges(path: Path) -> tuple[EdgeColumns, np.ndarray]:
    """The edges of a file with their weights, and the name of each row's part."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, read_dictionary=_TEXTS).unify_dictionaries().combine_chunks()
        for name in _TEXTS:
            if table[name].type != pa.dictionary(pa.int32(), pa.string()) or table[name].null_count:
                raise ValueError(f"column {name!r} does not hold texts alone")
        codes = {name: table[name].chunk(0).indices.to_numpy().astype(np.int32) for name in _TEXTS}
        texts = {name: tuple(table[name].chunk(0).dictionary.to_pylist()) for name in _TEXTS}
        weights = table["weight"].cast(pa.float32()).to_numpy()
    except (pa.ArrowException, OSError, KeyError, IndexError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}. Combine the graphs anew.") from error

    def nodes(side: str) -> tuple[Nodes, np.ndarray]:
        used, first, place = np.unique(codes[side], return_index=True, return_inverse=True)
        ids = codes[f"{side}_id"][first]
        names = (tuple(texts[column][code] for code in each) for column, each in ((side, used), (f"{side}_id", ids)))
        return Nodes(*names), place.astype(np.int32)

    (left_nodes, left), (right_nodes, right) = nodes("left"), nodes("right")
    edges = EdgeColumns(left_nodes, right_nodes, left, right, codes["relation"], texts["relation"], weights)
    return edges, np.array(texts["part"])[codes["part"]]


def _manifest(composition: Composition, settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "version": uwe_jax.__version__,
        "fingerprints": composition.graphs.fingerprints(),
        "graphs": composition.graphs.counts(),
        "parts": [dataclasses.asdict(part) for part in composition.parts],
        "edges": composition.counts(),
        "notes": composition.notes,
        "settings": settings,
    }


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / _MANIFEST
    manifest = read_json(path, "Combine the graphs anew.")
    found = manifest.get("format")
    if found != _FORMAT:
        raise UserError(f"{path} is of format {found}; this version reads format {_FORMAT}. Combine the graphs anew.")
    try:
        parts = [from_mapping(PartInfo, part) for part in manifest["parts"]]
        return {"fingerprints": dict(manifest["fingerprints"]), "parts": parts, "notes": tuple(manifest["notes"])}
    except (UserError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}). Combine the graphs anew.") from error
