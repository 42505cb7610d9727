"""SkillSkape as a source: its sentences for training, with the labels of their ESCO skills.

Its other two splits are for evaluation and are not trained on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from uwe_jax.data.graph import Edge
from uwe_jax.data.text import normalise
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.folders import DEPTH, check_folder, files_in, only_copy, stated_split
from uwe_jax.sources.notes import noted
from uwe_jax.sources.source import Source, SourceEdges, SourceRequest
from uwe_jax.sources.tables.formats import table_format
from uwe_jax.sources.tables.problems import Problems, shorten
from uwe_jax.sources.tables.reading import has_columns, read_rows

PAGE = "https://huggingface.co/datasets/jjzha/skillskape"
COLUMNS = {"sentence": "text", "skills": "texts"}
NO_SKILL = "UNK"
GRAPH = "skill_vacancy"
DOWNLOAD = f"Download train.csv from {PAGE} and keep its name."


def find_sentences(folder: Path, split: str) -> Path | None:
    """Finds the CSV of a split, gzipped or not, by its columns and the split that its name states.

    Args:
      folder: of the user.
      split: train, validation or test.

    Raises:
      UserError: two files that differ.
    """
    tables = [path for path in files_in(folder, DEPTH) if table_format(path) in (".csv", ".csv.gz")]
    found = [path for path in tables if stated_split([path.stem]) == split and has_columns(path, COLUMNS)]
    return only_copy(found, folder, f"the {split} split of SkillSkape")


def find_train(folder: Path) -> Path:
    """Finds the file of the sentences for training; UserError if there is none."""
    check_folder(folder, f"Expected the folder of SkillSkape's train.csv. {DOWNLOAD}")
    path = find_sentences(folder, "train")
    if path is None:
        raise UserError(
            f"{folder} holds no CSV with the columns {', '.join(COLUMNS)} whose name states train; files for "
            f"evaluation, such as dev.csv, are not trained on. {DOWNLOAD}"
        )
    return path


def read_sentences(path: Path, problems: Problems) -> Iterator[tuple[str, str, list[str]]]:
    """Yields the place of each row, its sentence and its skills, of which there may be none.

    Raises:
      UserError: a missing column. Broken rows go to `problems`.
    """
    for place, row in read_rows(path, path.name, COLUMNS, problems):
        yield place, row["sentence"], [skill for skill in row["skills"] if skill != NO_SKILL]


def read_vacancy_edges(path: Path) -> tuple[list[Edge], list[str]]:
    """Reads the skill-vacancy graph, an edge per sentence and skill without ids, and the number of bare sentences.

    Raises:
      UserError: a missing column, or broken rows.
    """
    problems = Problems(str(path))
    edges, without = [], 0
    for place, sentence, skills in read_sentences(path, problems):
        text, labels = normalise(sentence), [normalise(skill) for skill in skills]
        without += not labels
        if not text or "" in labels:
            problems.add(place, f"{shorten(sentence)} with the skills {shorten(str(skills))}", "no empty text")
        else:
            edges += [Edge("", label, "", text) for label in labels]
    problems.check()
    return edges, noted(without, "sentence", "without a skill left out")


def _read(request: SourceRequest) -> SourceEdges:
    # imported lazily: TFDS takes a second, and other sources do not need it
    from uwe_jax.sources.tfds_edges import load_file_edges

    path = find_train(request.folder("the folder of SkillSkape's train.csv"))
    edges, notes = load_file_edges("skillskape", GRAPH, path, read_vacancy_edges, request.cache_dir)
    return SourceEdges(f"SkillSkape {path.name} in {path.parent}", {GRAPH: edges}, notes)


SOURCE = Source({GRAPH: "vacancy"}, _read)
