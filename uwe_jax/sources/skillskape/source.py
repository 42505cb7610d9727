"""SkillSkape as a source: its sentences for training. Its other two splits are for evaluation and are not read."""

from __future__ import annotations

from uwe_jax.sources.skillskape.reader import GRAPH, find_train
from uwe_jax.sources.source import Source, SourceEdges, SourceRequest


def _read(request: SourceRequest) -> SourceEdges:
    # imported lazily: TFDS takes a second, and other sources do not need it
    from uwe_jax.sources.file_edges import load_file_edges
    from uwe_jax.sources.skillskape.skillskape_dataset_builder import Builder

    path = find_train(request.folder("the folder of SkillSkape's train.csv"))
    edges, notes = load_file_edges(Builder, path, GRAPH, request.cache_dir)
    return SourceEdges(f"SkillSkape {path.name} in {path.parent}", {GRAPH: edges}, notes)


SOURCE = Source({GRAPH: "vacancy"}, _read)
