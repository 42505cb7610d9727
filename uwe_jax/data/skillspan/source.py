"""SkillSpan as a source: its sentences for training, tagged with the skills of a taxonomy that they name."""

from __future__ import annotations

import hashlib

from uwe_jax.base.errors import UserError
from uwe_jax.data.skillspan.reader import find_train
from uwe_jax.data.source import Source, SourceEdges, SourceRequest
from uwe_jax.data.taxonomy import EXPECTED, find_taxonomy

_GRAPH = "skill_vacancy"


def _read(request: SourceRequest) -> SourceEdges:
    # imported where it is needed: TFDS takes a second, and the other sources do without
    from uwe_jax.data.skillspan.skillspan_dataset_builder import Builder
    from uwe_jax.data.tfds_edges import prepare_edges, read_notes, read_prepared

    folder = request.folder("the folder of SkillSpan's train.json and a taxonomy")
    path = find_train(folder)
    taxonomy = find_taxonomy(folder, language=request.language, version=request.version)
    if taxonomy is None:
        raise UserError(
            f"{folder} holds SkillSpan's {path.name} but no taxonomy, and its sentences name skills of none. {EXPECTED}"
        )
    digest = hashlib.sha256(path.read_bytes() + taxonomy.digest.encode()).hexdigest()[:16]
    place = request.cache_dir / "tfds" / f"skillspan-unknown-{digest}"
    builder = Builder(path=path, taxonomy=taxonomy, config=_GRAPH, data_dir=str(place))
    prepare_edges(builder, folder)
    origin = f"SkillSpan {path.name} in {path.parent}, tagged with {taxonomy.origin}"
    return SourceEdges(origin, {_GRAPH: read_prepared(builder)}, read_notes(builder))


SOURCE = Source({_GRAPH: "vacancy"}, _read)
