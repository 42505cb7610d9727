"""SkillSkape as a source: its sentences for training. Its other two splits evaluate, and are not read."""

from __future__ import annotations

from uwe_jax.sources.skillskape.reader import GRAPH, find_train
from uwe_jax.sources.source import Source, SourceEdges, SourceRequest


def read(request: SourceRequest) -> SourceEdges:
    """The graph of the sentences in train.csv.

    Raises:
      UserError: no folder, no such file in it, two that differ, or broken rows.
    """
    # imported where it is needed: TFDS takes a second, and the other sources do without
    from uwe_jax.sources.file_edges import load_file_edges
    from uwe_jax.sources.skillskape.skillskape_dataset_builder import Builder

    folder = request.folder("the folder of SkillSkape's train.csv")
    path = find_train(folder)
    edges, notes = load_file_edges(Builder, path, GRAPH, request.cache_dir)
    return SourceEdges(f"SkillSkape {path.name} in {path.parent}", {GRAPH: edges}, notes)


SOURCE = Source({GRAPH: "vacancy"}, read)
