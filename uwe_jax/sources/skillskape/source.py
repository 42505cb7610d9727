"""SkillSkape as a source: its sentences for training. Its other two splits evaluate, and are not read."""

from __future__ import annotations

from pathlib import Path

from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.folders import check_folder
from uwe_jax.sources.skillskape.reader import COLUMNS, PAGE, find_sentences
from uwe_jax.sources.source import Source, SourceEdges, SourceRequest

GRAPH = "skill_vacancy"
DOWNLOAD = f"Download train.csv from {PAGE} and keep its name."


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


def find_train(folder: Path) -> Path:
    """The file of the sentences for training; UserError where there is none."""
    check_folder(folder, f"Expected the folder of SkillSkape's train.csv. {DOWNLOAD}")
    path = find_sentences(folder, "train")
    if path is None:
        raise UserError(
            f"{folder} holds no CSV with the columns {', '.join(COLUMNS)} whose name states train; files for "
            f"evaluation, such as dev.csv, are not trained on. {DOWNLOAD}"
        )
    return path


SOURCE = Source({GRAPH: "vacancy"}, read)
