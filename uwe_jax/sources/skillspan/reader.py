"""SkillSpan's sentences for training, and the skills of a taxonomy that they name."""

from __future__ import annotations

from pathlib import Path

from uwe_jax.data.graph import Edge
from uwe_jax.data.text import normalise
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.folders import DEPTH, check_folder, files_in, only_copy
from uwe_jax.sources.hub.split_names import stated_split
from uwe_jax.sources.matching import EXACT, SkillMatcher
from uwe_jax.sources.notes import counted
from uwe_jax.sources.tables.problems import Problems
from uwe_jax.sources.tables.typed_rows import has_columns, read_rows
from uwe_jax.sources.taxonomy import Taxonomy
from uwe_jax.sources.vacancies.sentences import MAX_CHARACTERS, MIN_WORDS, length_problem

DOWNLOAD = (
    "Download train.json from https://huggingface.co/datasets/jjzha/skillspan and keep its name; the other splits "
    "evaluate and are not read."
)
_COLUMNS = {"tokens": "texts"}
_OTHER = "tags_skill"  # a column that tells SkillSpan from other tokenised text


def find_train(folder: Path) -> Path:
    """The file of the sentences for training, by its columns and the split that its own name states.

    Raises:
      UserError: there is none, or there are two that differ.
    """
    check_folder(folder, f"Expected the folder of SkillSpan's train.json. {DOWNLOAD}")
    found = [
        path
        for path in files_in(folder, DEPTH)
        if path.suffix.lower() in (".json", ".jsonl")
        and stated_split([path.stem]) == "train"
        and has_columns(path, {**_COLUMNS, _OTHER: "texts"})
    ]
    path = only_copy(found, folder, "the train split of SkillSpan")
    if path is None:
        raise UserError(
            f"{folder} holds no JSON lines with {', '.join(_COLUMNS)} and {_OTHER} whose name states train. {DOWNLOAD}"
        )
    return path


def read_edges(path: Path, taxonomy: Taxonomy) -> tuple[list[Edge], list[str]]:
    """An edge per sentence and skill that it names.

    Tokens are joined by single spaces, as the extraction sets of WorkBench have the sentences of the other splits.

    Returns:
      The edges, and phrases on the sentences that were left out.

    Raises:
      UserError: broken rows.
    """
    problems = Problems(str(path))
    texts = [normalise(" ".join(row["tokens"])) for _, row in read_rows(path, path.name, _COLUMNS, problems)]
    problems.check()
    matcher = SkillMatcher(taxonomy)
    edges, left_out, untagged = [], 0, 0
    for text in dict.fromkeys(texts):
        if length_problem(text):
            left_out += 1
            continue
        named: dict[int, str] = {}
        for match in matcher.find(text):
            if named.get(match.skill) != EXACT:
                named[match.skill] = match.how
        untagged += not named
        for number, how in named.items():
            skill = taxonomy.skills[number]
            edges.append(Edge(skill.id, skill.label, "", text, how))
    lengths = f"less than {MIN_WORDS} words or more than {MAX_CHARACTERS} characters"
    return edges, [
        *counted(len(texts) - len(dict.fromkeys(texts)), "sentences that come again left out"),
        *counted(left_out, f"sentences of {lengths} left out"),
        *counted(untagged, "sentences that name no skill left out"),
    ]
