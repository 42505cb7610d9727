"""SkillSpan as a source: its sentences for training, with the skills of a taxonomy that they name or with its spans."""

from __future__ import annotations

import hashlib
from pathlib import Path

from uwe_jax.data.graph import Edge
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.skillspan.reader import find_train
from uwe_jax.sources.source import Source, SourceEdges, SourceRequest
from uwe_jax.sources.taxonomy import EXPECTED, Taxonomy, find_taxonomy, taxonomy_instead

_TAGGED, _SPANS = "skill_vacancy", "span_vacancy"


def _read(request: SourceRequest) -> SourceEdges:
    # imported where it is needed: TFDS takes a second, and the other sources do without
    from uwe_jax.sources.skillspan.skillspan_dataset_builder import Builder
    from uwe_jax.sources.tfds_edges import prepare_edges, read_notes, read_prepared

    folder = request.folder("the folder of SkillSpan's train.json")
    path = find_train(folder)
    origin = f"SkillSpan {path.name} in {path.parent}"
    edges: dict[str, list[Edge]] = {}
    notes: list[str] = []
    for graph in request.graphs:
        taxonomy = _taxonomy(folder, path, request) if graph == _TAGGED else None
        digest = hashlib.sha256(path.read_bytes() + (taxonomy.digest.encode() if taxonomy else b"")).hexdigest()[:16]
        place = request.cache_dir / "tfds" / f"skillspan-unknown-{digest}"
        builder = Builder(path=path, taxonomy=taxonomy, config=graph, data_dir=str(place))
        prepare_edges(builder, folder)
        edges[graph] = read_prepared(builder)
        notes += read_notes(builder)
        origin += f", tagged with {taxonomy.origin}" if taxonomy else ""
    return SourceEdges(origin, edges, tuple(notes))


def _taxonomy(folder: Path, path: Path, request: SourceRequest) -> Taxonomy:
    taxonomy = find_taxonomy(folder, language=request.language, version=request.version)
    if taxonomy is None:
        raise UserError(
            f"{folder} holds SkillSpan's {path.name} but no taxonomy, and its sentences name skills of none."
            f"{taxonomy_instead(folder)} {EXPECTED} The graph {_SPANS} does without."
        )
    return taxonomy


SOURCE = Source(
    {_TAGGED: "vacancy", _SPANS: "vacancy"},
    _read,
    default=(_TAGGED,),
    reads=dict.fromkeys(("language", "version"), (_TAGGED,)),
)
