"""SkillSpan as a source: its sentences for training, with the skills of a taxonomy named in them or with its spans."""

from __future__ import annotations

import hashlib

from uwe_jax.data.graph import Edge
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.skillspan.reader import SPANS, TAGGED, find_train
from uwe_jax.sources.source import Source, SourceEdges, SourceRequest
from uwe_jax.sources.taxonomy import EXPECTED, find_taxonomy, taxonomy_instead


def _read(request: SourceRequest) -> SourceEdges:
    # imported lazily: TFDS takes a second, and other sources do not need it
    from uwe_jax.sources.skillspan.skillspan_dataset_builder import Builder
    from uwe_jax.sources.tfds_edges import prepare_edges, read_notes, read_prepared

    folder = request.folder("the folder of SkillSpan's train.json")
    path = find_train(folder)
    origin = f"SkillSpan {path.name} in {path.parent}"
    edges: dict[str, list[Edge]] = {}
    notes: list[str] = []
    for graph in request.graphs:
        taxonomy = None
        if graph == TAGGED:
            taxonomy = find_taxonomy(folder, language=request.language, version=request.version)
            if taxonomy is None:
                raise UserError(
                    f"{folder} holds SkillSpan's {path.name} but no taxonomy to tag its sentences with."
                    f"{taxonomy_instead(folder)} {EXPECTED} The graph {SPANS} needs none."
                )
            origin += f", tagged with {taxonomy.origin}"
        digest = hashlib.sha256(path.read_bytes() + (taxonomy.digest.encode() if taxonomy else b"")).hexdigest()[:16]
        place = request.cache_dir / "tfds" / f"skillspan-unknown-{digest}"
        builder = Builder(path=path, taxonomy=taxonomy, config=graph, data_dir=str(place))
        prepare_edges(builder, folder)
        edges[graph] = read_prepared(builder)
        notes += read_notes(builder)
    return SourceEdges(origin, edges, tuple(notes))


SOURCE = Source(
    {TAGGED: "vacancy", SPANS: "vacancy"},
    _read,
    default=(TAGGED,),
    reads=dict.fromkeys(("language", "version"), (TAGGED,)),
)
